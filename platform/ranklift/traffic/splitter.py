"""Which arm a unit belongs to: a pure function of experiment and unit.

The bytes, the arithmetic and test vectors are in docs/assignment.md, so that
other languages can compute the same. For many units at once: `many_units.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import mmh3

from ranklift.store.slots import Ranges
from ranklift.store.values import BUCKETS, Arm, Experiment, Layer

_hash = mmh3.mmh3_x64_128_utupledigest


class Assigned(NamedTuple):
    """A unit's arm, and its bucket in [0, 10000)."""

    arm: Arm
    bucket: int


def bucket_of(salt: str, unit_id: str) -> int:
    """Return the bucket of a unit, in [0, 10000)."""
    # h * 10,000 / 2^64 instead of h mod 10,000: every bucket gets the same part of all hashes, to
    # one in 2^50.
    return (_hash(f"{salt}:{unit_id}".encode(), 0)[0] * BUCKETS) >> 64


@dataclass(frozen=True, slots=True)
class Splitter:
    """An experiment made ready to assign: a call is one hash and one look-up.

    Arm `arms[i]` owns the buckets in [starts[i], ends[i]).
    """

    salt: str
    arms: tuple[Arm, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    _prefix: bytes = field(repr=False, compare=False)
    _owners: tuple[Arm | None, ...] = field(repr=False, compare=False)

    @classmethod
    def of(cls, experiment: Experiment) -> Splitter:
        """Return the splitter of an experiment whose shares sum to `BUCKETS`."""
        starts: list[int] = []
        ends: list[int] = []
        owners: list[Arm | None] = [None] * BUCKETS
        start = 0
        for arm in experiment.arms:
            # An arm starts at the same bucket whatever the traffic share is, so that
            # growing it only adds buckets. A part of a bucket counts as a whole one.
            end = start + -(-arm.share * experiment.traffic_share // BUCKETS)
            starts.append(start)
            ends.append(end)
            owners[start:end] = [arm] * (end - start)
            start += arm.share
        return cls(
            experiment.salt,
            experiment.arms,
            tuple(starts),
            tuple(ends),
            f"{experiment.salt}:".encode(),
            tuple(owners),
        )

    def assign(self, unit_id: str) -> Assigned | None:
        """Return the unit's arm, None when the unit takes no part."""
        # As `bucket_of`, written out: a call of a function costs as much as the hash.
        bucket = (_hash(self._prefix + unit_id.encode(), 0)[0] * BUCKETS) >> 64
        arm = self._owners[bucket]
        return None if arm is None else Assigned(arm, bucket)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment stands in its layer: its slots, and who is kept out of the layer."""

    layer: Layer
    slots: Ranges = ((0, BUCKETS),)

    @property
    def whole(self) -> bool:
        """Whether the experiment has the whole layer for itself."""
        return self.slots == ((0, BUCKETS),)

    def has(self, unit_id: str) -> bool:
        """Return whether the experiment may assign the unit."""
        if is_held_out(self.layer, unit_id):
            return False
        if self.whole:
            return True
        slot = bucket_of(self.layer.salt, unit_id)
        return any(start <= slot < end for start, end in self.slots)


def is_held_out(layer: Layer, unit_id: str) -> bool:
    """Return whether a unit is in the holdout of a layer.

    Its salt is the layer's name, for good: who is held out stays so when the layer's salt changes.
    """
    share = layer.holdout_share
    return share > 0 and bucket_of(holdout_salt(layer), unit_id) < share


def holdout_salt(layer: Layer) -> str:
    """Return the salt that decides who is held out of a layer."""
    return f"{layer.name}/holdout"


def assign(experiment: Experiment, unit_id: str) -> Assigned | None:
    """Return the unit's arm, None when the unit takes no part in the experiment."""
    return Splitter.of(experiment).assign(unit_id)
