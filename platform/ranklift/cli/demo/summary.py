"""What a demo leaves behind: report.json, the same for the same seed.

It holds no clock time, no path and no latency: everything in it follows from
the seed and the machine's arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from ranklift.cli.demo.traffic import Outcome
from ranklift.lift.values import LiftReport, Measured, Unavailable
from ranklift.store.values import Comparison

SCHEMA = "ranklift.demo/1"


def write_report(
    path: Path,
    *,
    seed: int,
    offline: Mapping[str, Mapping[str, float]],
    first: Outcome,
    retrained_version: str,
    comparisons: Sequence[Comparison],
    second: Outcome | None,
) -> None:
    """Write the figures of a demo; `offline` is by model version, then by metric."""
    content = {
        "schema": SCHEMA,
        "seed": seed,
        "offline": offline,
        **_experiment(first),
        "retrained": {
            "version": retrained_version,
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "experiment": _experiment(second) if second is not None else None,
        },
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _experiment(outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    return {
        "experiment": report.experiment,
        "valid": report.valid,
        "verdict": report.verdict.sentence,
        "sample_ratio_p_value": sample_ratio_p_value(report),
        "checks": {check.name: check.passed for check in report.checks},
        "arms": [asdict(arm) for arm in report.arms],
        "metrics": {
            lift.metric: {"arm": lift.arm, **_found(lift.found)}
            | {"true_lift": outcome.truth[lift.metric, lift.arm]}
            for lift in report.lifts
            if (lift.metric, lift.arm) in outcome.truth
        },
    }


def _found(found: Measured | Unavailable) -> dict[str, Any]:
    if isinstance(found, Unavailable):
        return {"unavailable_reason": found.reason}
    return {
        "control_value": found.control_value,
        "arm_value": found.arm_value,
        "relative_lift": found.relative_lift,
        "interval": [found.relative_lift_interval.lower, found.relative_lift_interval.upper],
        "p_value": found.p_value,
    }


def sample_ratio_p_value(report: LiftReport) -> float | None:
    """Return the p-value of the sample-ratio check, None where it could not be computed."""
    return next(check.p_value for check in report.checks if check.name == "sample_ratio")


def offline_table(offline: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the offline evaluation as a table, one model version a row."""
    metrics = list(next(iter(offline.values())))
    table = Table("model version", *metrics, title="offline, on held-out queries", box=None)
    for version, values in offline.items():
        table.add_row(version, *(f"{values[metric]:.4f}" for metric in metrics))
    return table


def comparison_table(version: str, comparisons: Sequence[Comparison]) -> Table:
    """Return the retrained version's comparison with the champion as a table."""
    table = Table(
        "metric", "champion", version, "difference [95 % interval]", "queries", "source",
        title=f"{version} against the champion, offline", box=None,
    )  # fmt: skip
    for one in comparisons:
        table.add_row(
            one.metric,
            f"{one.champion_value:.4f}",
            f"{one.challenger_value:.4f}",
            f"{one.difference:+.4f} [{one.difference_lower:+.4f}, {one.difference_upper:+.4f}]",
            str(one.queries),
            one.source,
        )
    return table
