"""A token bucket: so many a second on average, so many at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` on average and up to `burst` at once; both above 0."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left at the time `at` (seconds, any clock that only grows)."""

    left: float
    at: float


def full(rate: Rate, now: float) -> Bucket:
    """Return the bucket of somebody who took nothing yet."""
    return Bucket(rate.burst, now)


def take(bucket: Bucket, rate: Rate, cost: float, now: float) -> tuple[Bucket, float]:
    """Return the bucket after `cost` was taken, and 0; or as it was, and the seconds to wait.

    What costs more than the burst is let through by a full bucket, and is then
    paid for: the average holds, and no request is too large for ever.
    """
    left = min(rate.burst, bucket.left + max(0.0, now - bucket.at) * rate.per_second)
    needed = min(cost, rate.burst)
    # A bucket that is a rounding error short would have its caller wait for nothing.
    if left >= needed - 1e-9:
        return Bucket(left - cost, max(now, bucket.at)), 0.0
    return Bucket(left, max(now, bucket.at)), (needed - left) / rate.per_second
