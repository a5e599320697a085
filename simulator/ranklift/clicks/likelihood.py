"""The log-likelihood of models that read down the page, with first and second derivatives.

Parameters are probabilities p: of browsing, then each pair's attractiveness,
then each pair's satisfaction where the model has one. They are moved as angles
phi with p = sin^2 phi, in which n trials have a curvature of about 4 n anywhere,
and a maximum at p = 0 or 1 is a maximum like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from ranklift.clicks.arrow import Arrow, Blocks, blocks_of
from ranklift.clicks.log import NO_PAIR
from ranklift.clicks.results import Floats
from ranklift.clicks.tails import Ints, Tails

CHUNK = 8_192  # rows at a time; bounds the memory
LEAST = 1e-12  # how far from 1 a probability stays


@dataclass(frozen=True, slots=True)
class Formula:
    """What sets a model that reads down the page apart, and where its parameters are.

    `after_skip` is the browsing parameter that is P(next is examined | skip); None: that is 1.
    `after_click` is P(next is examined | click) by some browsing parameters, attractiveness
    and satisfaction (0 in a model without), and affine in each of them. `of_click` names
    those browsing parameters for results at 0-based ranks.
    """

    browsing: int
    pairs: int
    satisfaction: bool
    after_skip: int | None
    of_click: Callable[[Ints], tuple[int | Ints, ...]]
    after_click: Callable[..., Any]

    @property
    def size(self) -> int:
        return self.browsing + self.pairs * (1 + self.satisfaction)

    def goes_on(self, click: list[Any]) -> Any:
        """Return `after_click` by columns as `click` has them."""
        return self.after_click(*click, *([] if self.satisfaction else [0.0]))

    def click(self, pair: Ints, rank: Ints) -> Ints:
        """Return where the parameters of clicks are, shape (clicks, any)."""
        attraction = self.attraction(pair)
        columns = [*self.of_click(rank), attraction]
        if self.satisfaction:
            columns.append(np.where(pair == NO_PAIR, self.size, attraction + self.pairs))
        return np.column_stack([np.broadcast_to(column, pair.shape) for column in columns])

    def attraction(self, pair: Ints) -> Ints:
        """Return where attractiveness is; what is not there has a place behind all others."""
        return np.where(pair == NO_PAIR, self.size, self.browsing + pair)


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Terms weight * log P of like form, P by the parameters that each row of `index` names.

    With results below, P is that of a tail (see `tails`), by the parameter after a skip if
    there is one, then attractiveness below, then those of the last click. Otherwise P is
    that of going on after a click.
    """

    index: Ints  # (terms, parameters)
    below: int
    clicked: NDArray[np.bool_]  # (terms,); else nothing on the page is
    weight: Floats  # (terms,)

    def chunks(self) -> Iterator[Terms]:
        for start in range(0, len(self.weight), CHUNK):
            rows = slice(start, start + CHUNK)
            yield Terms(self.index[rows], self.below, self.clicked[rows], self.weight[rows])


def terms_of(counts: Tails, formula: Formula) -> Iterator[Terms]:
    """Yield all terms of the log-likelihood but those that are log p or log(1 - p)."""
    followed = formula.click(counts.pair, counts.rank)
    yield Terms(followed, 0, np.ones(len(followed), dtype=bool), counts.count)
    # Tails of one length together: short ones cost less, and those of length 0 say nothing.
    length = (counts.below != NO_PAIR).sum(axis=1)
    for results in np.unique(length[length > 0]):
        (rows,) = (length == results).nonzero()
        pair = counts.last_pair[rows]
        index = [
            formula.attraction(counts.below[rows, :results]),
            formula.click(pair, counts.last_rank[rows]),
        ]
        if formula.after_skip is not None:
            index.insert(0, np.full((len(rows), 1), formula.after_skip))
        yield Terms(np.hstack(index), int(results), pair != NO_PAIR, counts.weight[rows])


def blocks_by_tail(counts: Tails, formula: Formula) -> Blocks:
    """Return the blocks of pairs' parameters: those of results that meet in a tail."""
    first = np.broadcast_to(counts.below[:, :1], counts.below.shape)
    others = np.column_stack([counts.last_pair, counts.below[:, 1:]])
    meet = (first != NO_PAIR) & (others != NO_PAIR)
    both = np.arange(formula.pairs if formula.satisfaction else 0)
    return blocks_of(
        formula.size - formula.browsing,
        np.concatenate([first[meet], both]),
        np.concatenate([others[meet], formula.pairs + both]),
    )


class Derivatives(NamedTuple):
    value: float
    gradient: Floats  # (parameters,)
    information: Arrow  # minus the second derivatives


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """The sum of terms, and of clicks log p + skips log(1 - p) of each parameter, by angles."""

    formula: Formula
    terms: tuple[Terms, ...]
    blocks: Blocks
    clicks: Floats  # (parameters,)
    skips: Floats  # (parameters,)

    def value(self, angle: Floats) -> float:
        """Return the log-likelihood; -inf where the log is impossible."""
        p = np.append(probability(angle), 0.0)
        value = self._of_counts(p[:-1])
        with np.errstate(divide="ignore"):
            for terms in self.terms:
                for rows in terms.chunks():
                    value += float(rows.weight @ np.log(_value(self.formula, rows, p[rows.index])))
        return value

    def derivatives(self, angle: Floats) -> Derivatives:
        k, inner = self.formula.browsing, self.formula.size - self.formula.browsing
        p = probability(angle)
        value = self._of_counts(p)
        # One place more for what is not there.
        gradient, entries = np.zeros(self.formula.size + 1), np.zeros(self.blocks.entries + 1)
        border, corner = np.zeros((inner + 1, k)), np.zeros((k, k))
        gradient[:-1] = 2 * (_ratio(self.clicks, np.tan(angle)) - self.skips * np.tan(angle))
        own = 2 * (_ratio(self.clicks, p) + self.skips / (1 - p))
        np.fill_diagonal(corner, own[:k])
        entries[self.blocks.at(np.arange(inner), np.arange(inner))] = own[k:]
        angle = np.append(angle, 0.0)
        p = probability(angle)
        for terms in self.terms:
            for rows in terms.chunks():
                curve = _curve(self.formula, rows, p[rows.index])
                value += float(rows.weight @ np.log(curve.value))
                slope, bend = _by_angle(curve, angle[rows.index])
                _add(gradient, rows.index, rows.weight[:, None] * slope)
                bend *= -rows.weight[:, None, None]
                browsing = rows.index[0] < k  # of all rows alike
                outer, inside = rows.index[:, browsing], rows.index[:, ~browsing] - k
                mixed = bend[:, ~browsing]
                _add(corner, _pairs(outer * k, outer), bend[:, browsing][:, :, browsing])
                _add(border, _pairs(inside * k, outer), mixed[:, :, browsing])
                _add(entries, self._meeting(inside), mixed[:, :, ~browsing])
        information = Arrow(self.blocks, entries[:-1], border[:-1], corner)
        return Derivatives(value, gradient[:-1], information)

    def _of_counts(self, p: Floats) -> float:
        return float(xlogy(self.clicks, p).sum() + xlog1py(self.skips, -p).sum())

    def _meeting(self, inside: Ints) -> Ints:
        """Return where each two parameters of a row meet in a block, (rows, any, any)."""
        start, slot, size = (
            np.append(values, missing)[inside]
            for values, missing in (
                (self.blocks.start, self.blocks.entries),
                (self.blocks.slot, 0),
                (self.blocks.size, 0),
            )
        )
        missing = inside == len(self.blocks.size)
        at = _pairs(start + slot * size, slot)
        at[missing[:, :, None] | missing[:, None, :]] = self.blocks.entries
        return at


def probability(angle: Floats) -> Floats:
    return np.asarray(np.minimum(np.sin(angle) ** 2, 1 - LEAST))


class _Curve(NamedTuple):
    """A function of each row's parameters with its derivatives."""

    value: Floats  # (rows,)
    slope: Floats  # (rows, parameters)
    bend: Floats  # (rows, parameters, parameters)


def _value(formula: Formula, rows: Terms, p: Floats) -> Floats:
    """Return P of each row."""
    skip = int(formula.after_skip is not None)
    first = skip + rows.below if rows.below else 0
    looks = np.where(rows.clicked, formula.goes_on(list(p[:, first:].T)), 1.0)
    if not rows.below:
        return looks
    goes_on = p[:, 0] if skip else 1.0
    some = np.zeros(len(p))  # P(a click from here on | examined)
    for a in p[:, skip:first].T[::-1]:
        some = a + (1 - a) * goes_on * some
    return np.asarray(1 - looks * some)


def _curve(formula: Formula, rows: Terms, p: Floats) -> _Curve:
    """Return P of each row with its derivatives."""
    if not rows.below:
        return _after_click(formula, p)
    skip = formula.after_skip is not None
    first = skip + rows.below
    some = _some_click(p[:, skip:first], p[:, 0] if skip else None)
    looks = _after_click(formula, p[:, first:])
    clicked = rows.clicked
    value = np.where(clicked, looks.value, 1.0)
    slope, bend = np.empty(p.shape), np.empty((*p.shape, p.shape[1]))
    # P = 1 - looks * some
    slope[:, :first] = -value[:, None] * some.slope
    slope[:, first:] = -(clicked * some.value)[:, None] * looks.slope
    bend[:, :first, :first] = -value[:, None, None] * some.bend
    bend[:, first:, first:] = -(clicked * some.value)[:, None, None] * looks.bend
    cross = some.slope[:, :, None] * (clicked[:, None] * looks.slope)[:, None, :]
    bend[:, :first, first:] = -cross
    bend[:, first:, :first] = -cross.transpose(0, 2, 1)
    return _Curve(1 - value * some.value, slope, bend)


def _after_click(formula: Formula, p: Floats) -> _Curve:
    """Return P(next is examined | click); as it is affine, differences are its derivatives."""
    width = p.shape[1]

    def at(fixed: dict[int, float]) -> Any:
        return formula.goes_on([fixed.get(i, p[:, i]) for i in range(width)])

    slope, bend = np.empty(p.shape), np.zeros((*p.shape, width))
    for i in range(width):
        slope[:, i] = at({i: 1}) - at({i: 0})
    for i, j in combinations(range(width), 2):
        change = at({i: 1, j: 1}) - at({i: 1, j: 0}) - at({i: 0, j: 1}) + at({i: 0, j: 0})
        bend[:, i, j] = bend[:, j, i] = change
    return _Curve(np.broadcast_to(at({}), len(p)), slope, bend)


def _some_click(a: Floats, goes_on: Floats | None) -> _Curve:
    """Return u_1 = P(a click on some of these results | the first is examined), where

    u_r = a_r + (1 - a_r) g u_{r+1}

    by g = P(next is examined | skip), if it is not None but 1, and attractiveness.
    """
    pages, results = a.shape
    skip = int(goes_on is not None)
    g = np.ones(pages) if goes_on is None else goes_on
    slope, bend = np.zeros((pages, skip + results)), np.zeros((pages, *2 * (skip + results,)))
    some = np.zeros((results + 1, pages))  # u_r
    by_g, by_g_twice = np.zeros((2, results + 1, pages))
    reached = np.ones((results, pages))  # P(r examined | the first is, and no clicks above)
    for r in reversed(range(results)):
        some[r] = a[:, r] + (1 - a[:, r]) * g * some[r + 1]
        by_g[r] = (1 - a[:, r]) * (some[r + 1] + g * by_g[r + 1])
        by_g_twice[r] = (1 - a[:, r]) * (2 * by_g[r + 1] + g * by_g_twice[r + 1])
    for r in range(results):
        if r:
            reached[r] = reached[r - 1] * g * (1 - a[:, r - 1])
        slope[:, skip + r] = reached[r] * (1 - g * some[r + 1])
        for above in range(r):
            both = -slope[:, skip + r] / (1 - a[:, above])
            bend[:, skip + r, skip + above] = bend[:, skip + above, skip + r] = both
    if skip:
        slope[:, 0], bend[:, 0, 0] = by_g[0], by_g_twice[0]
        for r in range(results):
            change = r * slope[:, 1 + r] / np.maximum(g, LEAST)
            change -= reached[r] * (some[r + 1] + g * by_g[r + 1])
            bend[:, 0, 1 + r] = bend[:, 1 + r, 0] = change
    return _Curve(some[0], slope, bend)


def _by_angle(curve: _Curve, angle: Floats) -> tuple[Floats, Floats]:
    """Return first and second derivatives of log P by angles; overwrites those of P."""
    first, second = np.sin(2 * angle), 2 * np.cos(2 * angle)  # of p = sin^2
    by_p = curve.slope / curve.value[:, None]
    slope, bend = by_p * first, curve.bend
    bend *= (first / curve.value[:, None])[:, :, None]
    bend *= first[:, None, :]
    bend -= slope[:, :, None] * slope[:, None, :]
    np.einsum("ijj->ij", bend)[...] += by_p * second
    return slope, bend


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, 0 where the part is."""
    return np.divide(part, whole, out=np.zeros_like(part), where=part > 0)


def _pairs(first: Ints, second: Ints) -> Ints:
    """Return the sums of each two of a row, shape (rows, first, second)."""
    return first[:, :, None] + second[:, None, :]


def _add(target: Floats, index: Ints, values: Floats) -> None:
    np.add.at(target.reshape(-1), index.ravel(), values.ravel())
