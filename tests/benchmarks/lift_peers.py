"""Do other packages, given the same random data, find the same numbers?

python -m tests.benchmarks.run lift_peers

gbstats has an environment of its own (lift_peers_gbstats.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl
import tea_tasting
from tea_tasting.experiment import ExperimentResult
from tests.benchmarks.lift_peer_tables import (
    DWELL,
    DWELL_PER_CLICK,
    LARGEST,
    PAGE_CTR,
    SMALLEST,
    TABLES,
    USER_CTR,
    Pair,
    Ratio,
    adjusted,
    arms_of,
    largest_gaps,
    shares,
    tables,
)
from tests.benchmarks.lift_peers_gbstats import COPIES, GBSTATS, TINY_P, gbstats_pairs

from ranklift.lift.adjust import Covariate
from ranklift.lift.clustered import cluster_robust
from ranklift.lift.multiplicity import benjamini_hochberg, holm
from ranklift.lift.ratio import (
    Comparison,
    Difference,
    compare,
)
from ranklift.lift.sample_ratio import sample_ratio

RATIOS: dict[str, Ratio] = {
    "mean": DWELL,
    "mean of 0 and 1": USER_CTR,
    "ratio, pages": PAGE_CTR,
    "ratio, dwell": DWELL_PER_CLICK,
}
ADJUSTED: dict[str, tuple[Ratio, Covariate]] = {
    "mean, CUPED": (DWELL, Covariate("pre_dwell_ms")),
    "mean of 0 and 1, CUPED": (USER_CTR, Covariate("pre_clicked_pages")),
    "ratio, CUPED with a ratio": (PAGE_CTR, Covariate("pre_clicked_pages", "pre_pages")),
    "ratio, CUPED with a mean": (PAGE_CTR, Covariate("pre_clicked_pages")),
}


def measure() -> str:
    """Compare with every peer and return the page."""
    tea, regression = (f"{name} {version(name)}" for name in ("tea-tasting", "statsmodels"))
    rows = [
        *_rows(tea, 1e-9, (pair for table in tables() for pair in tea_tasting_pairs(table))),
        *_rows(tea, 1e-3, (pair for table in tables() for pair in sample_ratio_pairs(table))),
        *_rows(
            regression,
            1e-3,
            (pair for table in tables(smallest=1_000) for pair in statsmodels_pairs(table)),
        ),
    ]
    if GBSTATS.exists():
        rows += _rows("gbstats 0.8.0", 1e-6, gbstats_pairs(tables()))
    else:
        rows.append("| gbstats 0.8.0 | not installed, so not compared | | |")
    return "\n".join(
        [
            "# Do other packages find the same numbers?",
            "",
            f"{TABLES} random tables of {SMALLEST} to {LARGEST:,} users that differ, with lifts of "
            "-20 % to 20 % and arms of unequal size; statsmodels' from 1,000 users on, where its "
            "small-sample factors do not matter. Largest |ours - theirs| / max(|ours|, |theirs|) "
            "over all tables and over values, difference, lift, interval ends and p-value, as far "
            "as the peer has them. Bold: more than wanted.",
            "",
            "| peer | quantity | largest relative difference | wanted |",
            "|---|---|---|---|",
            *rows,
            "",
            "The p-value of the sample ratio is read from the report's text, which has four "
            "digits. The peers' proportions have the variance p (1 - p) / n where ours has the "
            "divisor n - 1: theirs is put into our formulas here. gbstats 0.8.0 has no CUPED for "
            "ratios. It gives the lift the degrees of freedom of the difference where ours has "
            f"the lift's own: lifts are compared with every user {COPIES:,} times. Its p-values "
            f"are exact to 1e-16 only: those below {TINY_P:g} count as {TINY_P:g}. Tables where "
            "an arm has no variance, for which it gives no numbers, are left out.",
            "",
        ]
    )


def tea_tasting_pairs(table: pl.DataFrame) -> Iterator[Pair]:
    """Yield tea-tasting's numbers beside ours: means, ratios, CUPED, proportions, several tests."""
    control, arm = arms_of(table)
    p_values = []
    for name, metric in RATIOS.items():
        theirs = tea_tasting.RatioOfMeans(*metric).analyze(table, 0, 1, variant="variant")
        ours = compare(control, arm, *metric)
        assert isinstance(ours, Comparison)
        yield name, _numbers(ours), _tea_numbers(theirs)
        p_values.append(ours.p_value)
    for name, (metric, covariate) in ADJUSTED.items():
        theirs = tea_tasting.RatioOfMeans(
            *metric, covariate.numerator, covariate.denominator
        ).analyze(table, 0, 1, variant="variant")
        yield name, _numbers(adjusted(control, arm, metric, covariate)), _tea_numbers(theirs)

    # Its z-test has no degrees of freedom.
    proportion = tea_tasting.Proportion(
        "clicked", method="norm", correction=False, equal_var=False
    ).analyze(table, 0, 1, variant="variant")
    ours = shares(control, arm, endless=True)
    yield "proportion, z-test", _numbers(ours), _tea_numbers(proportion)

    tests = ExperimentResult({str(i): {"pvalue": p} for i, p in enumerate(p_values)})
    for name, ours_corrected, theirs in (
        (
            "Holm",
            holm(p_values),
            tea_tasting.adjust_fwer(tests, arbitrary_dependence=True, method="bonferroni"),
        ),
        ("Benjamini-Hochberg", benjamini_hochberg(p_values), tea_tasting.adjust_fdr(tests)),
    ):
        (results,) = theirs.values()
        yield name, ours_corrected, [results[str(i)]["pvalue_adj"] for i in range(len(p_values))]


def sample_ratio_pairs(table: pl.DataFrame) -> Iterator[Pair]:
    """Yield the p-value of the chi-square of arms planned at half each."""
    check = sample_ratio(
        {str(v): table.filter(variant=v).height for v in (0, 1)}, {"0": 0.5, "1": 0.5}
    )
    theirs = tea_tasting.SampleRatio(method="norm", correction=False).analyze(
        table, 0, 1, variant="variant"
    )
    if theirs.pvalue > 1e-12:
        yield "sample ratio", [float(check.detail.split("p = ")[1].rstrip("."))], [theirs.pvalue]


def statsmodels_pairs(table: pl.DataFrame) -> Iterator[Pair]:
    """Yield the difference of PageCTR and its error, by least squares on pages with clusters."""
    pages, clicked = (table[name].to_numpy() for name in ("pages", "clicked_pages"))
    unit = np.repeat(np.arange(table.height), pages)
    number = np.arange(len(unit)) - np.repeat(np.cumsum(pages) - pages, pages)
    rows = pl.DataFrame(
        {
            "unit": unit,
            "clicked": (number < clicked[unit]).astype(np.float64),
            "arm": table["variant"].cast(pl.String).to_numpy()[unit],
        }
    )
    theirs = cluster_robust(rows, "clicked", "arm", "unit", control="0")
    ours = compare(*arms_of(table), *PAGE_CTR)
    assert isinstance(theirs, Difference)
    assert isinstance(ours, Comparison)
    yield "clustered least squares, difference", [ours.difference], [theirs.difference]
    yield "clustered least squares, SE", [ours.standard_error], [theirs.standard_error]


def _numbers(found: Comparison) -> list[float]:
    return [
        found.control_value,
        found.arm_value,
        found.difference,
        found.difference_lower,
        found.difference_upper,
        found.relative_lift,
        found.relative_lift_lower,
        found.relative_lift_upper,
        found.p_value,
    ]


def _tea_numbers(found: Any) -> list[float]:
    return [
        found.control,
        found.treatment,
        found.effect_size,
        found.effect_size_ci_lower,
        found.effect_size_ci_upper,
        found.rel_effect_size,
        found.rel_effect_size_ci_lower,
        found.rel_effect_size_ci_upper,
        found.pvalue,
    ]


def _rows(peer: str, wanted: float, pairs: Iterable[Pair]) -> list[str]:
    rows = []
    for name, gap in largest_gaps(pairs).items():
        found = f"{gap:.1e}" if gap <= wanted else f"**{gap:.1e}**"
        rows.append(f"| {peer} | {name} | {found} | {wanted:.0e} |")
    return rows
