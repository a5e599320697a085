"""gbstats' numbers beside ours, from an environment of its own: it needs older packages.

python3.11 -m venv build/peers/gbstats && build/peers/gbstats/bin/pip install gbstats==0.8.0
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tests.benchmarks.lift_peer_tables import (
    DWELL,
    DWELL_PER_CLICK,
    PAGE_CTR,
    USER_CTR,
    Pair,
    adjusted,
    arms_of,
    shares,
)

from ranklift.lift.adjust import Covariate
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Comparison, LiftInterval, compare

GBSTATS = Path(__file__).parents[2] / "build" / "peers" / "gbstats" / "bin" / "python"
GBSTATS_TESTS = Path(__file__).parent / "peers" / "gbstats_tests.py"
COPIES = 10_000
TINY_P = 1e-9


def gbstats_pairs(tables: Iterable[pl.DataFrame]) -> Iterator[Pair]:
    """Yield gbstats' numbers beside ours, of all tables in one call of its environment."""
    asked = [question for table in tables for question in _questions(*arms_of(table))]
    finished = subprocess.run(
        [str(GBSTATS), str(GBSTATS_TESTS)],
        input=json.dumps([case for _, case, _ in asked]),
        capture_output=True,
        check=True,
        text=True,
    )
    for (name, _, ours), answer in zip(asked, json.loads(finished.stdout), strict=True):
        if answer is None:  # an arm without variance
            continue
        # Its p-value is 2 (1 - cdf), which is rounding below about 1e-9.
        floor = {"p_value": TINY_P}
        yield (
            name,
            [max(number, floor.get(key, number)) for key, number in ours.items()],
            [max(answer[key], floor.get(key, answer[key])) for key in ours],
        )


# A quantity, what gbstats is asked (peers/gbstats_tests.py), and our numbers by the answer's keys.
Question = tuple[str, dict[str, Any], dict[str, float]]


def _questions(control: Moments, arm: Moments) -> Iterator[Question]:
    for name, kind, metric in (
        ("mean", "mean", DWELL),
        ("mean of 0 and 1", "mean", USER_CTR),
        ("ratio, pages", "ratio", PAGE_CTR),
        ("ratio, dwell", "ratio", DWELL_PER_CLICK),
    ):
        found = compare(control, arm, *metric)
        assert isinstance(found, Comparison)
        yield f"{name}, difference", _case(kind, control, arm, *metric), _absolute(found)
        # Its degrees of freedom for the lift are those of the difference, ours are the lift's
        # own: with many copies of every user neither matters.
        zero, one = (
            Moments(m.columns, m.count * COPIES, m.mean, m.m2 * COPIES) for m in (control, arm)
        )
        found = compare(zero, one, *metric, lift_interval=LiftInterval.DELTA)
        assert isinstance(found, Comparison)
        lift = {
            "estimate": found.relative_lift,
            "lower": found.relative_lift_lower,
            "upper": found.relative_lift_upper,
        }
        yield f"{name}, symmetric lift", _case(kind, zero, one, *metric, relative=True), lift
    yield (
        "proportion, difference",
        _case("proportion", control, arm, "clicked"),
        _absolute(shares(control, arm)),
    )
    found = adjusted(control, arm, DWELL, Covariate("pre_dwell_ms"))
    yield (
        "mean, CUPED, difference",
        _case("cuped", control, arm, "dwell_ms", "pre_dwell_ms"),
        _absolute(found),
    )


def _case(
    kind: str,
    control: Moments,
    arm: Moments,
    main: str,
    other: str | None = None,
    *,
    relative: bool = False,
) -> dict[str, Any]:
    """Return a question in gbstats' sums; `other` divides a ratio and adjusts for CUPED."""

    def sums(moments: Moments) -> dict[str, float]:
        i = moments.columns.index(main)
        j = i if other is None else moments.columns.index(other)
        n, mean = moments.count, moments.mean
        products = moments.m2 + n * np.outer(mean, mean)
        return {
            "n": n,
            "sum": round(n * mean[i]),
            "sum_squares": products[i, i],
            "other_sum": round(n * mean[j]),
            "other_sum_squares": products[j, j],
            "product": products[i, j],
        }

    return {"kind": kind, "relative": relative, "control": sums(control), "arm": sums(arm)}


def _absolute(found: Comparison) -> dict[str, float]:
    return {
        "estimate": found.difference,
        "standard_error": found.standard_error,
        "lower": found.difference_lower,
        "upper": found.difference_upper,
        "p_value": found.p_value,
    }
