"""Shares in definitions: whole ten-thousandths, and whole buckets for every arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd

from ranklift.store.values import BUCKETS
from ranklift.v1.errors import Violation


def share_of(share: float) -> int:
    """Return a share of the protocol in ten-thousandths."""
    return round(share * BUCKETS)


def share_violations(field: str, share: float) -> Iterator[Violation]:
    """Return what keeps a number from being a share in (0, 1] in steps of 0.0001."""
    if not 0 < share <= 1:  # nor is NaN
        yield Violation(field, f"{share:g} is no share, must be above 0 and at most 1")
    elif _too_fine(share) or share_of(share) == 0:
        yield Violation(field, f"{share!r} is too fine, must be a multiple of {1 / BUCKETS}")


def holdout_violations(field: str, share: float) -> Iterator[Violation]:
    """Return what keeps a number from being a holdout in [0, 1) in steps of 0.0001."""
    if not 0 <= share < 1:
        yield Violation(field, f"{share:g} is no holdout, must be at least 0 and below 1")
    elif _too_fine(share) or share_of(share) == BUCKETS:
        yield Violation(field, f"{share!r} is too fine, must be a multiple of {1 / BUCKETS}")


def bucket_violations(
    field: str, traffic_share: int, arms: Sequence[tuple[str, int]]
) -> Iterator[Violation]:
    """Return whether some arm would get a part of a bucket; `arms` are names and shares.

    A part counts as a whole one (docs/assignment.md), so the arms would not have the shares that
    reports and the sample-ratio check hold them against.
    """
    for name, share in arms:
        if share * traffic_share % BUCKETS:
            step = BUCKETS // gcd(BUCKETS, *(one for _, one in arms))
            allowed = f"a multiple of {step / BUCKETS:g}" if step < BUCKETS else "1"
            yield Violation(
                field,
                f'{traffic_share / BUCKETS:g} gives arm "{name}" '
                f"{share * traffic_share / BUCKETS:g} of {BUCKETS} buckets, which must be whole; "
                f"must be {allowed}, or choose rounder arm shares",
            )
            return


def _too_fine(share: float) -> bool:
    # A decimal such as 0.3333 is not a double: its product is whole up to rounding.
    return abs(share * BUCKETS - round(share * BUCKETS)) > 1e-6
