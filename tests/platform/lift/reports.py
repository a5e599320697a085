"""A report with every part that one can have, written down by hand.

Two students against BM25 over a fortnight: one is worth shipping, one is slow and has too little
traffic for some metrics.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from ranklift.lift import metrics as known
from ranklift.lift.values import (
    ArmTraffic,
    Check,
    Decision,
    Distribution,
    Interaction,
    Interval,
    LiftReport,
    Look,
    Measured,
    MetricLift,
    NoveltyDay,
    Outcome,
    Role,
    SegmentLift,
    Unavailable,
    Verdict,
)
from ranklift.store.analysis import AnalysisPlan, Direction, Guardrail, Horizon, Metric

START = datetime(2025, 3, 1, 6, 30, tzinfo=UTC)
LARGE, SMALL = "student-6l", "student-2l"
SCROLLS = Metric(
    name="scrolls",
    title="Scrolls per page",
    unit="scrolls per page",
    definition="Scroll events divided by all pages.",
    numerator="scrolls",
    denominator="pages",
    direction=Direction.DOWN,
    cap_quantile=0.99,
)
PLAN = AnalysisPlan(
    secondary_metrics=("user_ctr", "dwell_per_click"),
    guardrails=(
        Guardrail("latency", 0.05),
        Guardrail("abandonment", 0.01),
        Guardrail("pages_per_unit", 0.01),
    ),
    metrics=(SCROLLS,),
    planned_units=60_000,
    minimal_lift=0.02,
)


def measured(
    control: float, lift: float, half_width: float, p_value: float, **given: float | None
) -> Measured:
    """Return numbers that fit each other roughly; `half_width` is that of the relative lift."""
    z = 1.959964
    whole = {
        "control_units": 20_031,
        "arm_units": 19_967,
        "variance_ratio": 1.0,
        "design_effect": None,
        **given,
    }
    return Measured(
        control_value=control,
        arm_value=control * (1 + lift),
        difference=control * lift,
        difference_interval=Interval(control * (lift - half_width), control * (lift + half_width)),
        relative_lift=lift,
        relative_lift_interval=Interval(
            (1 + lift) * math.exp(-half_width) - 1, (1 + lift) * math.exp(half_width) - 1
        ),
        standard_error=control * half_width / z,
        p_value=p_value,
        **whole,  # type: ignore[arg-type]
    )


def looks(arm: str, final: float, spread: float, metric: str = "page_ctr") -> tuple[Look, ...]:
    """Return two weeks of looks, with bounds of the O'Brien-Fleming type; the first has none."""
    rows = []
    for day in range(14):
        part = (day + 1) / 14
        wobble = 0.5 * spread * math.sin(2.1 * day) / math.sqrt(day + 1)
        lift = final + wobble * (1 - part)
        half = spread / math.sqrt(part)
        wide = half * 1.05 / math.sqrt(0.67 * part)
        rows.append(
            Look(
                metric=metric,
                arm=arm,
                day=date(2025, 3, 1) + timedelta(days=day),
                units=round(40_000 * part**0.8),
                relative_lift=lift,
                interval=Interval(lift - half, lift + half),
                sequential_interval=Interval(-math.inf, math.inf)
                if day == 0
                else Interval(lift - wide, lift + wide),
                information=0.67 * part,
                crossed=day > 0 and lift - wide > 0,
            )
        )
    return tuple(rows)


def full_report() -> LiftReport:
    """Return the report with every part."""
    return LiftReport(
        experiment="students-vs-bm25",
        revision=3,
        control="bm25",
        unit="user",
        primary_metric="page_ctr",
        plan=PLAN,
        horizon=Horizon.GROUP_SEQUENTIAL,
        confidence_level=0.95,
        start=START,
        end=START + timedelta(days=13, hours=17, minutes=28),
        verdict=Verdict(
            Decision.SHIP,
            LARGE,
            f"Ship {LARGE}: PageCTR is shown to be better, and no guardrail is breached.",
            (
                "PageCTR: +3.0 % (+1.7 to +4.3 at any look), first shown on 2025-03-07.",
                f"Latency of {SMALL} is worse by more than its margin of 5 %.",
            ),
        ),
        checks=(
            Check(
                "sample_ratio",
                True,
                0.41,
                "bm25 33.41% of 60,012 units (planned 33.33%), student-6l 33.32%, "
                "student-2l 33.27%.",
            ),
            Check("one_arm_per_unit", True, None, "None of 60,012 units saw two arms."),
            Check("fallback_share", True, 0.2, "bm25 0.10%, student-6l 0.11%, student-2l 0.13%."),
        ),
        arms=(
            ArmTraffic("bm25", 20_052, 20_031, 141_240, 142, 61_033, 0.3334),
            ArmTraffic(LARGE, 19_996, 19_967, 140_871, 155, 62_804, 0.3333),
            ArmTraffic(SMALL, 19_964, 19_950, 139_902, 182, None, 0.3333),
        ),
        metrics=(
            known.PAGE_CTR,
            known.USER_CTR,
            known.DWELL_PER_CLICK,
            known.LATENCY,
            known.ABANDONMENT,
            known.PAGES_PER_UNIT,
            known.CAPPED_DWELL_PER_UNIT,
            known.QUERIES_PER_SESSION,
            SCROLLS,
        ),
        lifts=_lifts(),
        looks=looks(LARGE, 0.03006, 0.0102)
        + looks(SMALL, 0.0062, 0.0105)
        + looks(LARGE, 0.0121, 0.0061, "latency")
        + looks(SMALL, 0.0852, 0.0063, "latency"),
        segments=_segments(),
        novelty=(
            *(
                NoveltyDay(
                    "page_ctr",
                    arm,
                    day,
                    measured(0.4, lift + 0.03 * math.exp(-day / 2), 0.02 + 0.004 * day, 0.02),
                )
                for arm, lift in ((LARGE, 0.025), (SMALL, 0.0))
                for day in range(9)
            ),
            NoveltyDay("page_ctr", SMALL, 9, Unavailable("only 3 users have a tenth day")),
        ),
        distributions=(
            Distribution(
                *("median", "Median dwell per click, seconds", LARGE, 41.2, 42.9, 1.7),
                *(Interval(0.42, 2.98), 0.0093),
            ),
            Distribution("p90", "90 % quantile, seconds", LARGE, 162.0, 161.3, -0.7, None, None),
            Distribution(
                *("mann_whitney", "Chance to dwell longer", LARGE, None, None, 0.5061),
                *(Interval(0.5004, 0.5118), 0.036),
            ),
            Distribution(
                *("restricted_mean", "Mean up to 300 s", SMALL, None, None, None, None, None),
                unavailable_reason="no dwell of the arm was observed to its end",
            ),
        ),
        interactions=(
            Interaction(
                "new-snippets",
                "bold",
                "page_ctr",
                LARGE,
                -0.0021,
                Interval(-0.0093, 0.0051),
                0.57,
                1.0,
            ),
        ),
        log_digest="sha256:5f2a0c7be1d94c7781f0a3a6f5f9b7c2",
        version="0.1.0",
    )


def broken_report() -> LiftReport:
    """Return an invalid report whose primary metric has no numbers."""
    report = full_report()
    first, *others = report.lifts
    return replace(
        report,
        verdict=Verdict(
            Decision.INVALID,
            "",
            "Invalid: users are not split as planned; find out why before reading on.",
            ("A sample-ratio mismatch means that some users are missing from an arm.",),
        ),
        checks=(
            Check(
                "sample_ratio", False, 1e-7, "bm25 36.00%, student-6l 32.00%, student-2l 32.00%."
            ),
            *report.checks[1:],
        ),
        lifts=(replace(first, found=Unavailable("arm: <nothing> to see")), *others),
    )


def bare_report() -> LiftReport:
    """Return the least that a report can be: a log without times, one arm, one metric."""
    report = full_report()
    return replace(
        report,
        revision=0,
        plan=AnalysisPlan(),
        horizon=Horizon.FIXED,
        start=None,
        end=None,
        verdict=Verdict(Decision.NO_DIFFERENCE, "", "No difference in PageCTR was shown.", ()),
        checks=(),
        arms=report.arms[:2],
        metrics=(known.PAGE_CTR,),
        lifts=(MetricLift("page_ctr", LARGE, Role.PRIMARY, measured(0.4, 0.001, 0.02, 0.92)),),
        looks=(),
        segments=(),
        novelty=(),
        distributions=(),
        interactions=(),
        log_digest="",
        version="",
    )


def hostile_report() -> LiftReport:
    """Return a report whose names are markup for every format, and worse."""
    report = bare_report()
    arm = "[red]@team</td>|`*x*`\x1b[31m\nnext\u202eline {{ 1 }} \\ #12"
    metric = replace(known.PAGE_CTR, name="a<b>", title="<script>alert(1)</script>[/]", unit="|&|")
    lift = MetricLift(metric.name, arm, Role.PRIMARY, measured(0.4, 0.001, 0.02, 0.92))
    return replace(
        report,
        experiment='<img src=x onerror="y">',
        control='c"o,n\ntrol|[b]',
        primary_metric=metric.name,
        verdict=Verdict(Decision.KEEP_RUNNING, arm, f"Keep {arm} running.", (arm,)),
        checks=(Check("known_arms", True, None, f'"{arm}" is odd.'),),
        arms=(replace(report.arms[1], arm=arm),),
        metrics=(metric,),
        lifts=(lift,),
        segments=(SegmentLift("dev|ice<i>", arm, metric.name, arm, Unavailable(arm), None),),
    )


def _lifts() -> tuple[MetricLift, ...]:
    slow = measured(52.1, 0.0852, 0.0063, 1e-30)
    unbounded = replace(
        measured(2.31, 0.154, 0.9, 0.61),
        relative_lift_interval=Interval(-0.42, math.inf),
        difference_interval=Interval(-math.inf, math.inf),
    )
    return (
        MetricLift(
            "page_ctr",
            LARGE,
            Role.PRIMARY,
            measured(0.40312, 0.03006, 0.0102, 7e-9, variance_ratio=0.62, design_effect=2.66),
            1.4e-8,
        ),
        MetricLift(
            "page_ctr",
            SMALL,
            Role.PRIMARY,
            measured(0.40312, 0.0062, 0.0105, 0.247, variance_ratio=0.63, design_effect=2.71),
            0.247,
        ),
        MetricLift(
            "user_ctr", LARGE, Role.SECONDARY, measured(0.7651, 0.0101, 0.0088, 0.0246), 0.0738
        ),
        MetricLift("user_ctr", SMALL, Role.SECONDARY, measured(0.7651, -0.0012, 0.0089, 0.79), 1.0),
        MetricLift(
            "dwell_per_click", LARGE, Role.SECONDARY, measured(93.91, 0.0214, 0.0151, 0.0055), 0.022
        ),
        MetricLift(
            "dwell_per_click", SMALL, Role.SECONDARY, Unavailable("control has no dwell"), None
        ),
        MetricLift(
            "latency",
            LARGE,
            Role.GUARDRAIL,
            measured(52.1, 0.0121, 0.0061, 0.0001),
            None,
            0.05,
            Outcome.PASSED,
        ),
        MetricLift("latency", SMALL, Role.GUARDRAIL, slow, None, 0.05, Outcome.BREACHED),
        MetricLift(
            "abandonment",
            LARGE,
            Role.GUARDRAIL,
            measured(0.597, -0.0203, 0.007, 7e-9),
            None,
            0.01,
            Outcome.PASSED,
        ),
        MetricLift(
            "abandonment",
            SMALL,
            Role.GUARDRAIL,
            measured(0.597, -0.0042, 0.0163, 0.247),
            None,
            0.01,
            Outcome.OPEN,
        ),
        MetricLift(
            "pages_per_unit",
            LARGE,
            Role.GUARDRAIL,
            Unavailable("all units have one page"),
            None,
            0.01,
            None,
        ),
        MetricLift(
            "pages_per_unit",
            SMALL,
            Role.GUARDRAIL,
            measured(7.05, 0.0021, 0.0052, 0.43),
            None,
            0.01,
            Outcome.PASSED,
        ),
        MetricLift(
            "capped_dwell_per_unit", LARGE, Role.DIAGNOSTIC, measured(286.2, 0.0311, 0.0192, 0.0016)
        ),
        MetricLift("queries_per_session", LARGE, Role.DIAGNOSTIC, unbounded),
        MetricLift("scrolls", LARGE, Role.DIAGNOSTIC, measured(4.1, 0.0, 0.0, 1.0)),
    )


def _segments() -> tuple[SegmentLift, ...]:
    return (
        *(
            SegmentLift(
                "device",
                device,
                "page_ctr",
                arm,
                measured(0.4, lift, half, p, control_units=units, arm_units=units - 40),
                min(1.0, 2 * p),
            )
            for device, units, half in (
                ("phone", 11_204, 0.0136),
                ("desktop", 7_950, 0.0163),
                ("tablet", 877, 0.049),
            )
            for arm, lift, p in ((LARGE, 0.03 - half / 4, 0.004), (SMALL, 0.012 - half, 0.46))
        ),
        SegmentLift("country", "NL", "user_ctr", LARGE, measured(0.7, 0.011, 0.012, 0.07), 0.07),
        SegmentLift(
            "device", "tv", "page_ctr", LARGE, Unavailable("only 3 users, 30 are needed"), None
        ),
    )
