"""Keyed randomness: every draw is a hash of what it is about.

A draw keyed by (seed, user, visit, step, document, purpose) has the same value
in every arm, batch and process, so the same users live through every arm, and
a vectorised run and a replayed one agree page for page. Two rules follow:

- Key by document, never by rank: the draw must survive a new order.
- One `Purpose` for each decision: a uniform shared by two decisions would
  correlate them.

The mixing function is the output function of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014, section 5).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import mmh3
import numpy as np
from numpy.typing import ArrayLike, NDArray

Keys: TypeAlias = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(0x3FF0000000000000)  # the bits of 1.0


class Purpose(IntEnum):
    """What a draw decides. A code never changes its meaning: that would change every world."""

    ACTIVITY = 1
    PAGES = 2
    PROPENSITY = 3
    DWELL_EFFECT = 4
    CONTINUE = 5
    ARRIVAL = 6
    GAP = 7
    QUERY = 8
    QUERY_POPULARITY = 9
    EXAMINE = 10
    ATTRACT = 11
    SATISFY = 12
    DWELL = 13
    BROWSE = 14  # on to the next result
    COMPONENT = 15  # of a mixture
    TRUST = 16
    TRANSITION = 17  # from one click to the next, up or down or again
    CENSOR = 18  # until when a dwell is seen
    GO_ON = 20  # another query in this visit
    REFORMULATE = 21
    RETURN = 22  # the gap to the next visit
    ABANDON_WELL = 23  # satisfied without a click
    DEVICE = 30
    PATIENCE = 31
    TASTE = 32
    BOT = 33
    SEASON = 34
    DRIFT = 35
    LOSE = 40  # an event that never reaches the log
    DELAY = 41
    BURST = 42
    RESEND = 43  # an event that is sent twice
    SHUFFLE = 44
    ASSIGN = 50  # to an arm


def mix(values: ArrayLike) -> Keys:
    """Return SplitMix64 of `values`, unsigned 64-bit integers of any shape."""
    return _mix_in_place(np.array(values, dtype=np.uint64))


def extend(keys: ArrayLike, *fields: ArrayLike) -> Keys:
    """Return `keys` with `fields` chained on; all broadcast against each other.

    h <- mix(h ^ mix(f)) for each field f in turn. Chaining makes the order
    count: (user 1, visit 2) is not (user 2, visit 1). A common prefix is worth
    computing once.
    """
    chained = np.asarray(keys, dtype=np.uint64)
    for field in fields:
        chained = extend_mixed(chained, mix(field))
    return chained


def extend_mixed(keys: Keys, mixed: Keys) -> Keys:
    """Return `extend(keys, field)` for `mixed = mix(field)`, which many keys may share."""
    return _mix_in_place(np.asarray(keys ^ mixed))


def uniform(keys: ArrayLike) -> NDArray[np.float64]:
    """Return the draw of each key, uniform over the open interval (0, 1).

    The high 52 bits h make (h + 1/2) 2^-52, a half because with 53 bits the
    largest value would round to exactly 1.
    """
    bits = np.asarray(keys, dtype=np.uint64) >> np.uint64(12)
    # As the mantissa of a number 1 + h 2^-52 in [1, 2); taking 1 - 2^-53 off is exact.
    return np.asarray(np.asarray(bits | _ONE).view(np.float64) - (1 - 2.0**-53))


def draw(keys: Keys, purpose: Purpose) -> NDArray[np.float64]:
    """Return `uniform(extend(keys, purpose))`: what each key decides for one purpose."""
    return uniform(extend_mixed(keys, _MIXED[purpose]))


def hash_id(identifier: str) -> int:
    """Return a 64-bit hash of a string that is the same in every process and release.

    The low 64 bits of murmur3 x64 128, seed 0, of the UTF-8 bytes.
    """
    return mmh3.hash64(identifier.encode(), seed=0, signed=False)[0]


def hash_ids(identifiers: list[str] | tuple[str, ...]) -> Keys:
    """Return `hash_id` of each string, shape (identifiers,)."""
    return np.fromiter((hash_id(i) for i in identifiers), dtype=np.uint64, count=len(identifiers))


def _mix_in_place(z: Keys) -> Keys:
    # A simulation spends most of its time here. Wrapping round is the algorithm.
    high = np.empty_like(z)
    z += _GAMMA
    z ^= np.right_shift(z, np.uint64(30), out=high)
    z *= _FIRST
    z ^= np.right_shift(z, np.uint64(27), out=high)
    z *= _SECOND
    z ^= np.right_shift(z, np.uint64(31), out=high)
    return z


_MIXED = {purpose: mix(purpose) for purpose in Purpose}
