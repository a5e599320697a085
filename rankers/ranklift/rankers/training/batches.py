"""Which examples each training step sees, and how ranking lists become tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ranklift.rankers.base import RankingList
from ranklift.rankers.encoding import Pair, PairEncoder, chunks, pad
from ranklift.rankers.engines.reference import pair_scores
from ranklift.v1.errors import InvalidRequest, Violation

# So many batches are sorted by length together: short enough to stay random.
WINDOW = 8
# So many padded tokens go through the model at once. Fewer pad less and keep what is
# computed in a processor's cache; a GPU wants more to do.
CHUNK_TOKENS, CHUNK_TOKENS_ON_GPU = 2_048, 16_384


def shuffled(count: int, batch: int, steps: int, *, seed: int) -> list[list[int]]:
    """Return for each step `batch` positions of `count` examples, in random order.

    Every example comes once before any comes again.
    """
    rng = np.random.default_rng(seed)
    stream: list[int] = []
    while len(stream) < steps * batch:
        stream += rng.permutation(count).tolist()
    return [stream[step * batch : (step + 1) * batch] for step in range(steps)]


def length_buckets(
    lengths: Sequence[int], batch: int, steps: int, *, seed: int
) -> list[list[int]]:  # (steps, batch) positions
    """Return for each step the positions of `batch` examples of like length.

    Every example comes once before any comes again. Lengths are alike within a
    batch, the order of the batches is random. A batch that lies across the end of
    one round and the beginning of the next may hold an example twice.
    """
    batch = min(batch, len(lengths))
    # No more at once than there are: sorting would bring all copies of an example together.
    together = min(WINDOW, len(lengths) // batch)
    windows = -(-steps // together)
    rng = np.random.default_rng([seed, 1])
    found: list[list[int]] = []
    for window in shuffled(len(lengths), together * batch, windows, seed=seed):
        ordered = sorted(window, key=lambda i: lengths[i])
        found += [ordered[i * batch : (i + 1) * batch] for i in rng.permutation(together)]
    return found[:steps]


@dataclass(frozen=True, slots=True)
class EncodedList:
    """A ranking list as token ids, with its targets and, for some losses, its grades."""

    pairs: tuple[Pair, ...]
    targets: tuple[float, ...]
    grades: tuple[float, ...] | None = None

    @property
    def length(self) -> int:
        return max(len(pair.ids) for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class ListBatch:
    """Lists side by side: `targets`, `grades` and `mask` have shape (queries, list).

    `pairs` holds the documents of the first list, then those of the second, and
    so on, without gaps. Without grades all of them are 0.
    """

    pairs: tuple[Pair, ...]
    targets: Tensor
    grades: Tensor
    mask: Tensor


def encode_lists(
    encoder: PairEncoder,
    lists: Sequence[RankingList],
    grades: Sequence[Sequence[float]] | None = None,
) -> list[EncodedList]:
    """Return `lists` as token ids.

    Raises:
        InvalidRequest: no lists, a list without documents, or one whose targets
            or grades are not one finite number for each document.
    """
    if not lists:
        raise InvalidRequest.of("lists", "there is nothing to learn from; give at least one list")
    if grades is not None and len(grades) != len(lists):
        raise InvalidRequest.of(
            "grades", f"{len(grades)} lists of grades for {len(lists)} lists; must be as many"
        )
    wrong: list[Violation] = []
    for i, ranking in enumerate(lists):
        if not ranking.documents:
            wrong.append(Violation(f"lists[{i}].documents", "is empty; drop the list"))
        named = {"targets": ranking.targets} | ({"grades": grades[i]} if grades else {})
        for name, numbers in named.items():
            if len(numbers) != len(ranking.documents) or not np.isfinite(numbers).all():
                wrong.append(
                    Violation(f"lists[{i}].{name}", "must be one finite number for each document")
                )
    if wrong:
        raise InvalidRequest(wrong)
    return [
        EncodedList(
            pairs=encoder.encode(ranking.query, ranking.documents).pairs,
            targets=tuple(ranking.targets),
            grades=None if grades is None else tuple(grades[i]),
        )
        for i, ranking in enumerate(lists)
    ]


def collate_lists(lists: Sequence[EncodedList]) -> ListBatch:
    """Return `lists` as one batch, padded with masked places."""
    width = max(len(ranking.pairs) for ranking in lists)
    targets, grades = torch.zeros((2, len(lists), width))
    mask = torch.zeros((len(lists), width), dtype=torch.bool)
    for row, ranking in enumerate(lists):
        count = len(ranking.pairs)
        targets[row, :count] = torch.tensor(ranking.targets)
        grades[row, :count] = torch.tensor(ranking.grades or (0.0,) * count)
        mask[row, :count] = True
    pairs = tuple(pair for ranking in lists for pair in ranking.pairs)
    return ListBatch(pairs, targets, grades, mask)


def list_scores(
    model: PreTrainedModel, kind: str, batch: ListBatch
) -> Tensor:  # (queries, list), 0 where masked
    """Return the model's logits of a batch, in fp32.

    Pairs of like length go through the model together, whichever list they are
    of: the documents of one query are long and short, and padding them all to
    the longest would be most of the work.
    """
    budget = CHUNK_TOKENS if model.device.type == "cpu" else CHUNK_TOKENS_ON_GPU
    parts = chunks([pair.tokens for pair in batch.pairs], budget)
    scores = torch.cat(
        [pair_scores(model, kind, pad([batch.pairs[i] for i in part])) for part in parts]
    )
    places = torch.tensor([i for part in parts for i in part], device=scores.device)
    flat = torch.zeros_like(scores).index_put((places,), scores)
    mask = batch.mask.to(scores.device)
    return torch.zeros(mask.shape, device=scores.device).masked_scatter(mask, flat)
