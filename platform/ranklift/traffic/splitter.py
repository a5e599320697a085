"""Which arm a unit belongs to: a pure function of experiment and unit.

The bytes, the arithmetic and test vectors are in docs/assignment.md, so that
other languages can compute the same.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import mmh3

from ranklift.store.values import BUCKETS, Arm, Experiment


@dataclass(frozen=True, slots=True)
class Assigned:
    """A unit's arm, and its bucket in [0, 10000)."""

    arm: Arm
    bucket: int


def bucket_of(salt: str, unit_id: str) -> int:
    """Return the bucket of a unit, in [0, 10000)."""
    key = f"{salt}:{unit_id}".encode()
    # By keyword: mmh3 5.3 reads a positional `signed` as True.
    low, _ = mmh3.hash64(key, seed=0, x64arch=True, signed=False)
    return (low * BUCKETS) >> 64


@dataclass(frozen=True, slots=True)
class Splitter:
    """An experiment made ready to assign: a call is one hash and one look-up.

    Arm `arms[i]` owns the buckets in [starts[i], ends[i]).
    """

    salt: str
    arms: tuple[Arm, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, experiment: Experiment) -> Splitter:
        """Return the splitter of an experiment whose shares sum to `BUCKETS`."""
        starts: list[int] = []
        ends: list[int] = []
        start = 0
        for arm in experiment.arms:
            starts.append(start)
            # An arm starts at the same bucket whatever the traffic share is, so that
            # growing it only adds buckets. A part of a bucket counts as a whole one.
            ends.append(start + -(-arm.share * experiment.traffic_share // BUCKETS))
            start += arm.share
        return cls(experiment.salt, experiment.arms, tuple(starts), tuple(ends))

    def assign(self, unit_id: str) -> Assigned | None:
        """Return the unit's arm, None when the unit takes no part."""
        bucket = bucket_of(self.salt, unit_id)
        i = bisect_right(self.starts, bucket) - 1
        return Assigned(self.arms[i], bucket) if bucket < self.ends[i] else None


def assign(experiment: Experiment, unit_id: str) -> Assigned | None:
    """Return the unit's arm, None when the unit takes no part in the experiment."""
    return Splitter.of(experiment).assign(unit_id)
