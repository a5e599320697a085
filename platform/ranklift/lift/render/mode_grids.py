"""What stands beside the lifts of arms that interleave or have shadows."""

from __future__ import annotations

from collections.abc import Sequence

from ranklift.lift.preference.values import ArmPreferences, Preference
from ranklift.lift.render.grid import Grid, Row
from ranklift.lift.render.printable import printable
from ranklift.lift.render.rounding import estimate_text, p_text, share_text
from ranklift.lift.shadows import LATENCIES, QUANTILES, ShadowSummary


def mode_grids(
    preferences: Sequence[ArmPreferences], shadows: Sequence[ShadowSummary]
) -> tuple[Grid, ...]:
    """Return a table for each arm that interleaves, and one of all shadows if there are any."""
    of_arms = tuple(_preferences(printable(arm)) for arm in preferences)
    return (*of_arms, _shadows(printable(tuple(shadows)))) if shadows else of_arms


def _preferences(arm: ArmPreferences) -> Grid:
    level = share_text(arm.confidence_level)
    degraded = (
        f"{arm.degraded_pages:,} pages without all rankings do not count."
        if arm.degraded_pages
        else "No page lacked a ranking."
    )
    failed = "" if arm.check.passed else f" FAILED {arm.check.name}: {arm.check.detail}"
    return Grid(
        f"Preference in {arm.arm} ({arm.method.replace('_', ' ')})",
        (
            *("ranking", "against", "won", "lost", "tied"),
            *(f"preference ({level} interval)", "p", "overlap of the first 10"),
        ),
        2,
        tuple(map(_preference, arm.preferences)),
        f"{arm.pages:,} pages of {arm.units:,} units. Preference: the mean vote, from -1 to 1; "
        f"0 is none. {degraded}{failed}",
    )


def _preference(one: Preference) -> Row:
    if one.preference is None:
        return Row((one.model_a, one.model_b), "no page yet")
    return Row(
        (
            one.model_a,
            one.model_b,
            f"{one.wins_a:,}",
            f"{one.wins_b:,}",
            f"{one.ties:,}",
            estimate_text(one.preference, one.interval),
            p_text(one.p_value),
            f"{100 * one.overlap:.0f} %",
        )
    )


def _shadows(shadows: Sequence[ShadowSummary]) -> Grid:
    at = ", ".join(f"{100 * q:g}" for q in QUANTILES)
    late = ", ".join(f"p{100 * q:g}" for q in LATENCIES)
    return Grid(
        "Shadows",
        (
            *("shadow", "arm", "pages", "errors", "rank correlation", "same first"),
            *(f"score difference ({at} %)", f"ms ({late})", "served"),
        ),
        2,
        tuple(
            Row(
                (
                    one.model,
                    one.arm,
                    f"{one.pages:,}",
                    f"{one.errors:,}",
                    "" if one.rank_correlation is None else f"{one.rank_correlation:.3f}",
                    "" if one.top_agreement is None else f"{100 * one.top_agreement:.1f} %",
                    _numbers(one.score_differences, "+.3g"),
                    _numbers(one.latencies_ms, ".0f"),
                    _numbers(one.served_latencies_ms, ".0f"),
                )
            )
            for one in shadows
        ),
        "Rank correlation: Kendall's tau-b with the order shown. Differences: the shadow's score "
        "less the one served; of other models they mean little.",
    )


def _numbers(values: Sequence[float] | None, form: str) -> str:
    return "" if values is None else ", ".join(format(value, form) for value in values)
