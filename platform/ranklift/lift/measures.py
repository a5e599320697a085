"""What is counted: whole numbers per page that add up to sums per unit.

A measure is a column of the page rows (`pages`) and, summed, of the unit sums (`sums`). Values
that are no counts are kept in whole parts, so that sums are exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Reciprocal ranks, logarithms and weights are kept in billionths.
BILLIONTHS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of whole numbers, `parts` of them to one; what it counts on one page."""

    name: str
    counts: str
    parts: int = 1


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("pages", "1 when the arm's own ranker served the page"),
        Measure("fallback_pages", "1 when the champion answered instead of the arm"),
        Measure("clicked_pages", "1 when the page got a click"),
        Measure("abandoned_pages", "1 when the page got no click"),
        Measure("clicks", "distinct clicks"),
        Measure("satisfied_clicks", "clicks with a dwell of 30 s or more, censored or not"),
        Measure("satisfied_pages", "1 when the page got a satisfied click"),
        Measure("dwell_ms", "milliseconds of dwell observed to its end, the longest of a click"),
        Measure("dwell_count", "clicks whose dwell was observed to its end"),
        Measure("clicks_with_dwell", "clicks whose dwell was logged, to its end or not"),
        Measure("log_dwell", "sum over those of ln(1 + seconds)", BILLIONTHS),
        Measure("first_satisfied_rr", "1 / rank of the first satisfied click in time", BILLIONTHS),
        Measure("last_satisfied_rr", "1 / rank of the last satisfied click in time", BILLIONTHS),
        Measure("first_click_ms", "milliseconds from the page to its first click"),
        Measure(
            "weighted_clicks", "clicks, each divided by how likely its rank is examined", BILLIONTHS
        ),
        Measure("sessions", "1 when the page is the first of its session on that day"),
        Measure("latency_us", "microseconds that the user waited for the page"),
    )
}
# A column "pre_<measure>" holds the same sum over the unit's time before the experiment.
PRE = "pre_"
