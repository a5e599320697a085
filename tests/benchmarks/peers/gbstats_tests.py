"""Run gbstats' two-sided t-tests on sums per arm; JSON in, JSON out. Runs in gbstats' own venv.

stdin: a list of {"kind": "mean" | "proportion" | "ratio" | "cuped", "relative": bool,
"control": {...}, "arm": {...}}, an arm being "n", "sum", "sum_squares" and, for what a ratio
divides by or what CUPED adjusts for, "other_sum", "other_sum_squares", "product".
stdout: for each {"estimate", "standard_error", "lower", "upper", "p_value"}, or null where
gbstats gives no numbers.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from gbstats.frequentist.tests import (  # type: ignore[import-not-found]
    FrequentistConfig,
    TwoSidedTTest,
)
from gbstats.models.statistics import (  # type: ignore[import-not-found]
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)


def statistic(kind: str, sums: dict[str, Any]) -> Any:
    n = sums["n"]
    if kind == "proportion":
        return ProportionStatistic(n=n, sum=sums["sum"])
    main = SampleMeanStatistic(n=n, sum=sums["sum"], sum_squares=sums["sum_squares"])
    if kind == "mean":
        return main
    other = SampleMeanStatistic(n=n, sum=sums["other_sum"], sum_squares=sums["other_sum_squares"])
    if kind == "ratio":
        return RatioStatistic(
            n=n, m_statistic=main, d_statistic=other, m_d_sum_of_products=sums["product"]
        )
    return RegressionAdjustedStatistic(
        n=n,
        post_statistic=main,
        pre_statistic=other,
        post_pre_sum_of_products=sums["product"],
        theta=0,
    )


def run(case: dict[str, Any]) -> dict[str, float] | None:
    difference_type = "relative" if case["relative"] else "absolute"
    found = TwoSidedTTest(
        statistic(case["kind"], case["control"]),
        statistic(case["kind"], case["arm"]),
        FrequentistConfig(difference_type=difference_type),
    ).compute_result()
    if found.error_message:
        return None
    return {
        "estimate": float(found.expected),
        "standard_error": float(found.uplift.stddev),
        "lower": float(found.ci[0]),
        "upper": float(found.ci[1]),
        "p_value": float(found.p_value),
    }


if __name__ == "__main__":
    json.dump([run(case) for case in json.load(sys.stdin)], sys.stdout)
