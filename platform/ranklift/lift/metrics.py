"""The metrics that every report knows; an experiment may declare more (`store.analysis.Metric`).

PageCTR, UserCTR and dwell are named after DisRanker (arXiv 2411.04539, online experiment). The
paper gives no formulas, so the definitions are ranklift's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from ranklift.lift.measures import BILLIONTHS
from ranklift.store.analysis import Direction, Form, Metric

PAGE_CTR = Metric(
    name="page_ctr",
    title="PageCTR",
    unit="clicked pages per page",
    definition="Pages with at least one click, divided by all pages.",
    numerator="clicked_pages",
    denominator="pages",
)
USER_CTR = Metric(
    name="user_ctr",
    title="UserCTR",
    unit="clicking units per exposed unit",
    definition="Exposed units with at least one click in the report's window, "
    "divided by all exposed units.",
    numerator="clicked_pages",
    form=Form.SHARE,
)
DWELL_PER_CLICK = Metric(
    name="dwell_per_click",
    title="Dwell per click",
    unit="seconds per click",
    definition="Seconds spent after clicks, divided by the number of clicks, over the clicks "
    "whose dwell was observed to its end. Censored dwells count in neither.",
    numerator="dwell_ms",
    denominator="dwell_count",
    parts_per_unit=1000,
)
DWELL_PER_PAGE = Metric(
    name="dwell_per_page",
    title="Dwell per page",
    unit="seconds per page",
    definition="Seconds spent after clicks, as far as observed to their end, divided by all pages.",
    numerator="dwell_ms",
    denominator="pages",
    parts_per_unit=1000,
)
DWELL_PER_UNIT = Metric(
    name="dwell_per_unit",
    title="Dwell per unit",
    unit="seconds per exposed unit",
    definition="Seconds spent after clicks, as far as observed to their end, divided by all "
    "exposed units.",
    numerator="dwell_ms",
    form=Form.MEAN,
    parts_per_unit=1000,
)
CAPPED_DWELL_PER_UNIT = Metric(
    name="capped_dwell_per_unit",
    title="Dwell per unit, capped",
    unit="seconds per exposed unit",
    definition="Dwell per unit, with every unit's seconds capped at the 99.9 % quantile of all "
    "arms together.",
    numerator="dwell_ms",
    form=Form.MEAN,
    cap_quantile=0.999,
    parts_per_unit=1000,
)
LOG_DWELL_PER_CLICK = Metric(
    name="log_dwell_per_click",
    title="Log dwell per click",
    unit="ln(1 + seconds) per click",
    definition="The mean of ln(1 + seconds) over the clicks whose dwell was observed to its end.",
    numerator="log_dwell",
    denominator="dwell_count",
    parts_per_unit=BILLIONTHS,
)
SATISFIED_CLICK_RATE = Metric(
    name="satisfied_click_rate",
    title="Satisfied clicks per page",
    unit="satisfied clicks per page",
    definition="Clicks with a dwell of 30 s or more, divided by all pages.",
    numerator="satisfied_clicks",
    denominator="pages",
)
CLICKS_PER_PAGE = Metric(
    name="clicks_per_page",
    title="Clicks per page",
    unit="clicks per page",
    definition="Clicks divided by all pages; can exceed 1.",
    numerator="clicks",
    denominator="pages",
)
ABANDONMENT = Metric(
    name="abandonment",
    title="Abandonment",
    unit="pages without a click per page",
    definition="Pages without a click, divided by all pages. Good abandonment counts too: the "
    "log cannot tell an answer seen from a search given up.",
    numerator="abandoned_pages",
    denominator="pages",
    direction=Direction.DOWN,
)
MEAN_USER_CLICK_RATE = Metric(
    name="mean_unit_ctr",
    title="Mean CTR of units",
    unit="clicked pages per page, every unit alike",
    definition="Every exposed unit's clicked pages divided by its pages, averaged over units: "
    "heavy users weigh no more than others.",
    numerator="clicked_pages",
    denominator="pages",
    form=Form.UNIT_RATIO,
)
FIRST_SATISFIED_RR = Metric(
    name="first_satisfied_rr",
    title="Reciprocal rank of the first satisfied click",
    unit="1 / rank per page",
    definition="1 / rank of the first satisfied click of a page, 0 without one, averaged over "
    "pages.",
    numerator="first_satisfied_rr",
    denominator="pages",
    parts_per_unit=BILLIONTHS,
)
LAST_SATISFIED_RR = Metric(
    name="last_satisfied_rr",
    title="Reciprocal rank of the last satisfied click",
    unit="1 / rank per page",
    definition="1 / rank of the last satisfied click of a page, 0 without one, averaged over "
    "pages.",
    numerator="last_satisfied_rr",
    denominator="pages",
    parts_per_unit=BILLIONTHS,
)
TIME_TO_FIRST_CLICK = Metric(
    name="time_to_first_click",
    title="Time to first click",
    unit="seconds per clicked page",
    definition="Seconds from a page to its first click, averaged over pages with a click.",
    numerator="first_click_ms",
    denominator="clicked_pages",
    direction=Direction.DOWN,
    parts_per_unit=1000,
)
WEIGHTED_CTR = Metric(
    name="weighted_ctr",
    title="Position-weighted CTR",
    unit="weighted clicks per page",
    definition="Clicks, each divided by how likely its rank is examined, divided by all pages.",
    numerator="weighted_clicks",
    denominator="pages",
    parts_per_unit=BILLIONTHS,
)
QUERIES_PER_SESSION = Metric(
    name="queries_per_session",
    title="Queries per session",
    unit="pages per session",
    definition="Pages divided by sessions: fewer can mean that users find things sooner.",
    numerator="pages",
    denominator="sessions",
    direction=Direction.DOWN,
)
SESSIONS_PER_UNIT = Metric(
    name="sessions_per_unit",
    title="Sessions per unit",
    unit="sessions per exposed unit",
    definition="Sessions divided by exposed units: users who are served well come back. A session "
    "that runs past midnight (UTC) counts on both days.",
    numerator="sessions",
    form=Form.MEAN,
)
PAGES_PER_UNIT = Metric(
    name="pages_per_unit",
    title="Pages per unit",
    unit="pages per exposed unit",
    definition="Pages divided by exposed units. When it moves, PageCTR's denominator moved too.",
    numerator="pages",
    form=Form.MEAN,
)
LATENCY = Metric(
    name="latency",
    title="Latency",
    unit="milliseconds per page",
    definition="What users waited for a page, averaged over pages.",
    numerator="latency_us",
    denominator="pages",
    direction=Direction.DOWN,
    parts_per_unit=1000,
)
FALLBACK_PAGES_PER_UNIT = Metric(
    name="fallback_pages_per_unit",
    title="Fallback pages per unit",
    unit="pages per exposed unit",
    definition="Pages that the champion answered for the arm, divided by exposed units.",
    numerator="fallback_pages",
    form=Form.MEAN,
    direction=Direction.DOWN,
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        PAGE_CTR,
        USER_CTR,
        DWELL_PER_CLICK,
        DWELL_PER_PAGE,
        DWELL_PER_UNIT,
        CAPPED_DWELL_PER_UNIT,
        LOG_DWELL_PER_CLICK,
        SATISFIED_CLICK_RATE,
        CLICKS_PER_PAGE,
        MEAN_USER_CLICK_RATE,
        ABANDONMENT,
        FIRST_SATISFIED_RR,
        LAST_SATISFIED_RR,
        TIME_TO_FIRST_CLICK,
        WEIGHTED_CTR,
        QUERIES_PER_SESSION,
        SESSIONS_PER_UNIT,
        PAGES_PER_UNIT,
        LATENCY,
        FALLBACK_PAGES_PER_UNIT,
    )
}
# What a report tests, corrected for their number, unless the experiment names others.
SECONDARY = ("user_ctr", "dwell_per_click", "dwell_per_page", "satisfied_click_rate")
