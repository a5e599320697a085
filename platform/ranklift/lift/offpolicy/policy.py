"""A ranking policy: for every page, a distribution over lists.

A production ranker is one list a page. A stochastic one with too many lists to write down is
represented by lists drawn from it, each with the same probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.v1.errors import InvalidRequest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# What stands at the ranks behind the end of a list.
NOTHING = -1
# Probabilities are sums of floats.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Which lists a ranker shows, and how often.

    `lists`, shape (contexts, lists, ranks), holds (query, document) pairs by number, `NOTHING`
    behind the end; `probabilities`, shape (contexts, lists), sums to 1 for each context;
    `context`, shape (pages,), names the context of each page.
    """

    lists: Ints
    probabilities: Floats
    context: Ints

    def __post_init__(self) -> None:
        if self.lists.ndim != 3 or self.probabilities.shape != self.lists.shape[:2]:
            raise InvalidRequest.of(
                "policy",
                f"lists {self.lists.shape} and probabilities {self.probabilities.shape} do not "
                "fit; give (contexts, lists, ranks) and (contexts, lists)",
            )
        wrong = ~(np.abs(self.probabilities.sum(axis=1) - 1) <= ROUNDING)
        wrong |= ~(self.probabilities >= 0).all(axis=1)
        if wrong.any():
            context = int(np.argmax(wrong))
            raise InvalidRequest.of(
                "policy",
                f"the probabilities of context {context} are {self.probabilities[context]}; "
                "they must be at least 0 and sum to 1",
            )
        if len(self.context) and not 0 <= self.context.min() <= self.context.max() < len(wrong):
            raise InvalidRequest.of("policy", f"a page's context is outside [0, {len(wrong)})")

    @property
    def ranks(self) -> int:
        return int(self.lists.shape[2])

    def of_pages(self, kept: Bools) -> Policy:
        """Return the policy on the pages that are kept."""
        return Policy(self.lists, self.probabilities, self.context[kept])


def deterministic(lists: Ints, context: Ints | None = None) -> Policy:
    """Return the policy that always shows `lists`, shape (contexts, ranks); one for each page
    without `context`."""
    return Policy(
        lists[:, None, :],
        np.ones((len(lists), 1)),
        np.arange(len(lists)) if context is None else context,
    )


def prefixes(policy: Policy, shown: Ints) -> Floats:
    """Return the probability that a page's first r documents are those shown; (pages, ranks).

    A list is cut where the page ends: behind it the value is that of the whole page.
    """
    # Prefixes by number: of lists, shape (contexts, lists), and of pages, -1 where no list has it.
    of_lists = np.broadcast_to(np.arange(len(policy.lists))[:, None], policy.lists.shape[:2])
    of_pages, probability = policy.context, np.zeros(shown.shape)
    size = _documents(policy, shown)
    for rank in range(shown.shape[1]):
        sums = _Sums.of(of_lists * size + policy.lists[:, :, rank] - NOTHING, policy.probabilities)
        at = sums.at(of_pages * size + shown[:, rank] - NOTHING)
        at[of_pages < 0] = -1
        ended = shown[:, rank] == NOTHING
        whole = probability[:, rank - 1] if rank else np.ones(len(shown))
        probability[:, rank] = np.where(ended, whole, sums.value(at))
        of_lists, of_pages = sums.of_rows, at
    return probability


def positions(policy: Policy, shown: Ints) -> Floats:
    """Return the probability that the document shown at a rank stands there; (pages, ranks)."""
    probability = np.zeros(shown.shape)
    contexts, size = np.arange(len(policy.lists))[:, None], _documents(policy, shown)
    for rank in range(shown.shape[1]):
        sums = _Sums.of(contexts * size + policy.lists[:, :, rank] - NOTHING, policy.probabilities)
        found = sums.value(sums.at(policy.context * size + shown[:, rank] - NOTHING))
        probability[:, rank] = np.where(shown[:, rank] != NOTHING, found, 0.0)
    return probability


def at_documents(policy: Policy, shown: Ints, values_of: Callable[[Ints], Floats]) -> Floats:
    """Return what the policy is expected to give each shown document; (pages, ranks).

    `values_of` maps lists, shape (contexts, ranks), to a value at each rank. A document gets the
    value of the rank where the policy puts it, and 0 where it does not show it: with examination
    as the value, this is the document's expected examination. Lists are cut where the page ends.
    """
    lists, size = policy.lists, _documents(policy, shown)
    by_list = [values_of(lists[:, index]) for index in range(lists.shape[1])]
    weights = np.stack(by_list, axis=1) * policy.probabilities[:, :, None]
    keys = np.arange(len(lists))[:, None, None] * size + lists - NOTHING
    wanted = policy.context[:, None] * size + shown - NOTHING
    expected = np.zeros(shown.shape)
    lengths = (shown != NOTHING).sum(axis=1)
    for length in np.unique(lengths):
        (pages,) = (lengths == length).nonzero()
        sums = _Sums.of(keys[:, :, :length], weights[:, :, :length])
        expected[pages] = np.where(shown[pages] != NOTHING, sums.value(sums.at(wanted[pages])), 0.0)
    return expected


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums of values by key. A policy of thousands of lists is summed once and then looked up:
    to hold every page against every list takes a hundred times as long."""

    keys: Ints  # distinct and ascending
    sums: Floats
    of_rows: Ints  # the place in `keys` of each key that was given, in its shape

    @classmethod
    def of(cls, keys: Ints, values: Floats) -> _Sums:
        distinct, place = np.unique(keys, return_inverse=True)
        sums = np.bincount(place.ravel(), values.ravel(), len(distinct)).astype(np.float64)
        return cls(distinct, sums, place.reshape(keys.shape))

    def at(self, keys: Ints) -> Ints:
        """Return the place of each key, -1 where there is none."""
        if not len(self.keys):
            return np.full(keys.shape, -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)

    def value(self, place: Ints) -> Floats:
        """Return the sum at each place, 0 at -1."""
        return np.append(self.sums, 0.0)[place]


def _documents(policy: Policy, shown: Ints) -> int:
    """Return how many numbers pairs and NOTHING take, from 0 once NOTHING is taken off."""
    return max(int(policy.lists.max()), int(shown.max())) - NOTHING + 1


def once_for_each(policy: Policy, shown: Ints, compute: Callable[[Policy, Ints], Floats]) -> Floats:
    """Return `compute` of all pages, run once for pages of one context that show the same.

    Under a stochastic policy every page is held against many lists, and the same few lists are
    shown again and again.
    """
    if policy.lists.shape[1] == 1:
        return compute(policy, shown)
    rows, inverse = np.unique(np.column_stack([policy.context, shown]), axis=0, return_inverse=True)
    few = Policy(policy.lists, policy.probabilities, rows[:, 0])
    return np.asarray(compute(few, rows[:, 1:])[inverse])


def expected_by_rank(policy: Policy, shown: Ints, values_of: Callable[[Ints], Floats]) -> Floats:
    """Return the expectation of a value at each rank, 0 behind the page's end; (pages, ranks)."""
    by_context = np.zeros((policy.lists.shape[0], policy.ranks))
    for index in range(policy.lists.shape[1]):
        values = values_of(policy.lists[:, index])
        by_context += values * policy.probabilities[:, index, None]
    return np.where(shown != NOTHING, by_context[policy.context], 0.0)


def same_prefix(policy: Policy, index: int, shown: Ints) -> Bools:
    """Return whether the first r documents of list `index` are those shown; (pages, ranks)."""
    same = (policy.lists[policy.context, index] == shown) | (shown == NOTHING)
    return np.asarray(np.logical_and.accumulate(same, axis=1))


def probability_of(policy: Policy, index: int) -> Floats:
    """Return the probability of list `index` on each page; (pages,)."""
    return np.asarray(policy.probabilities[policy.context, index])
