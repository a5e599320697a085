"""What is measured, as declarations: each metric is a ratio of two sums over the units of an arm.

The metrics' names are those of DisRanker (arXiv 2411.04539, online experiment). The paper gives
no formulas, so the definitions are ranklift's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A ratio of two sums over the exposed units of an arm.

    `numerator` and `denominator` name columns of the per-unit sums (`sums.unit_sums`). Without a
    `denominator` every exposed unit counts one, and the metric is a mean over units. The numerator
    is kept in whole parts, `parts_per_unit` of them to one `unit` of the metric, so that it adds
    up exactly.
    """

    name: str
    title: str
    unit: str
    numerator: str
    denominator: str | None
    definition: str
    parts_per_unit: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)


PAGE_CTR = Metric(
    name="page_ctr",
    title="PageCTR",
    unit="clicked pages per page",
    numerator="clicked_pages",
    denominator="pages",
    definition="Pages with at least one click, divided by all pages.",
)

USER_CTR = Metric(
    name="user_ctr",
    title="UserCTR",
    unit="clicking units per exposed unit",
    numerator="clicked",
    denominator=None,
    definition="Exposed units with at least one click in the report's window, "
    "divided by all exposed units.",
)

DWELL_PER_CLICK = Metric(
    name="dwell_per_click",
    title="Dwell per click",
    unit="seconds per click",
    numerator="dwell_ms",
    denominator="dwell_count",
    definition="Seconds spent after clicks, divided by the number of clicks, over the clicks "
    "whose dwell was observed to its end. Censored dwells count in neither.",
    parts_per_unit=1000,
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric for metric in (PAGE_CTR, USER_CTR, DWELL_PER_CLICK)
}
