"""Linear algebra of a few parameters that meet everything and many that meet few.

The information about a click model's parameters is an arrow matrix: what a
query's results say of each other is a block, and the parameters of browsing,
which every page bears on, are a border:

    | A_1           B_1 |
    |      A_2      B_2 |
    |           ..  ..  |
    | B_1'  B_2' ..  C  |

Blocks are inverted one by one, the border by its Schur complement
S = C - sum_b B_b' A_b^-1 B_b.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ranklift.clicks.results import Floats

Ints = NDArray[np.int64]

LARGEST = 4_000  # parameters in a block: 128 MB
LEAST = 1.0  # information that counts for something; a trial on the scale of angles has about 4
TINY = 1e-9  # eigenvalue of a matrix that has no inverse


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Which inner parameters share a block. Entry (i, j) of a block lies at `start + i * size + j`.

    A parameter that no row names is a block of its own.
    """

    size: Ints  # (parameters,): of the parameter's block
    start: Ints  # (parameters,): of the parameter's block in the flat entries
    slot: Ints  # (parameters,): the parameter's place in its block
    entries: int  # of all blocks

    def at(self, i: Ints, j: Ints) -> Ints:
        """Return where entry (i, j) lies; both parameters are of one block."""
        return self.start[i] + self.slot[i] * self.size[i] + self.slot[j]

    def by_size(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield parameters (blocks, n) and entries (blocks, n, n) of all blocks of each size n."""
        for n in np.unique(self.size):
            (inside,) = (self.size == n).nonzero()
            order = np.lexsort((self.slot[inside], self.start[inside]))
            parameters = inside[order].reshape(-1, n)
            yield parameters, self.start[parameters[:, :1, None]] + np.arange(n * n).reshape(n, n)


def blocks_of(parameters: int, first: Ints, second: Ints) -> Blocks:
    """Return the blocks in which `first` and `second` pairwise meet, directly or through others.

    Raises:
        ValueError: a block is too large; it names the remedy.
    """
    meets = coo_array((np.ones(len(first)), (first, second)), shape=(parameters, parameters))
    count, block = connected_components(meets, directed=False)
    sizes = np.bincount(block, minlength=count)
    if sizes.max() > LARGEST:
        raise ValueError(
            f"{sizes.max()} parameters of results that meet on pages, at most {LARGEST}; "
            "number pairs by query and document, so that different queries share none"
        )
    order = np.argsort(block, kind="stable")
    first_of = np.cumsum(sizes) - sizes
    slot = np.empty(parameters, dtype=np.int64)
    slot[order] = np.arange(parameters) - first_of[block[order]]
    starts = np.cumsum(sizes**2) - sizes**2
    return Blocks(sizes[block], starts[block], slot, int((sizes**2).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Arrow:
    """A symmetric arrow matrix with `inner` parameters in blocks and a few on the border."""

    blocks: Blocks
    inner: Floats  # (entries,), as `blocks` lays them out
    border: Floats  # (inner parameters, border parameters)
    corner: Floats  # (border parameters, border parameters)

    def step(self, gradient: Floats, longest: float) -> Floats:
        """Return M^-1 of a gradient (border first), of M made positive definite.

        Eigenvalues of the blocks and of S are replaced by their absolute values, and small
        ones by `LEAST`: it leads uphill wherever the gradient does, and not far where there is
        hardly any information. The border's step is shortened first, for the others follow it.
        """
        outer, inner = np.split(gradient, [len(self.corner)])
        scaled, alone = np.empty_like(self.border), np.empty_like(inner)
        for parameters, entries in self.blocks.by_size():
            inverse = _inverse(self.inner[entries], LEAST)
            scaled[parameters] = inverse @ self.border[parameters]
            alone[parameters] = (inverse @ inner[parameters][..., None])[..., 0]
        schur = self.corner - self.border.T @ scaled
        outer = _inverse(schur, LEAST) @ (outer - self.border.T @ alone)
        outer *= longest / max(longest, np.abs(outer).max(initial=0))
        return np.concatenate([outer, np.clip(alone - scaled @ outer, -longest, longest)])

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of M^-1 (border first), NaN where it is above 1 / `LEAST`."""
        scaled, alone = np.empty_like(self.border), np.empty(len(self.border))
        for parameters, entries in self.blocks.by_size():
            inverse = _inverse(self.inner[entries], TINY)
            scaled[parameters] = inverse @ self.border[parameters]
            alone[parameters] = np.diagonal(inverse, axis1=1, axis2=2)
        outer = _inverse(self.corner - self.border.T @ scaled, TINY)
        inner = alone + np.einsum("ij,jk,ik->i", scaled, outer, scaled)
        diagonal = np.concatenate([np.diagonal(outer), inner])
        return np.where(diagonal < 1 / LEAST, diagonal, np.nan)


def _inverse(matrices: Floats, least: float) -> Floats:
    """Return the inverse of symmetric matrices, with eigenvalues' absolute values, or `least`."""
    values, vectors = np.linalg.eigh(matrices)
    size = np.maximum(np.abs(values), least)
    return np.asarray((vectors / size[..., None, :]) @ np.swapaxes(vectors, -1, -2))
