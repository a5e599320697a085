"""Lifts of a growing log are those of the whole log, whatever the pieces it came in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ranklift.lift.analysis import analyze
from ranklift.lift.live import LiveLift
from ranklift.lift.tally_file import UnreadableTally
from ranklift.lift.values import Measured, MetricLift, Unavailable
from ranklift.store.analysis import AnalysisPlan
from ranklift.v1.errors import InvalidRequest, NotReady

METRICS = ("page_ctr", "user_ctr", "mean_unit_ctr", "dwell_per_click", "dwell_per_page")


def draw(seed: int, pages: int = 4_000, users: int = 400) -> pl.DataFrame:
    """Pages of users who differ; one in five has no time before the experiment."""
    rng = np.random.default_rng(seed)
    likely = rng.beta(4, 6, users)
    before = 1 + rng.poisson(9, users)
    clicked_before = rng.binomial(before, likely)
    known = rng.random(users) < 0.8
    user = rng.integers(0, users, pages)
    clicked = rng.random(pages) < likely[user] + 0.05 * (user % 2)
    dwell = rng.integers(1, 90_000, pages) / 1000
    return pl.DataFrame(
        {
            "user_id": [f"u{number}" for number in user],
            "arm": np.where(user % 2 == 0, "control", "student"),
            "clicked": clicked,
            "dwell_seconds": np.where(clicked, dwell, np.nan),
            "pre_pages": np.where(known, before, -1)[user],
            "pre_clicked_pages": np.where(known, clicked_before, -1)[user],
        }
    ).with_columns(
        pl.col("dwell_seconds").fill_nan(None),
        pl.col("pre_pages", "pre_clicked_pages").replace(-1, None),
    )


def numbers(lifts: tuple[MetricLift, ...]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for lift in lifts:
        assert isinstance(lift.found, Measured)
        one = lift.found
        interval = one.relative_lift_interval
        found[lift.metric, lift.role] = [
            one.control_value,
            one.arm_value,
            one.relative_lift,
            interval.lower,
            interval.upper,
            one.p_value,
            one.variance_ratio,
            lift.adjusted_p_value or 0.0,
        ]
    return found


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("covariates", [False, True])
def test_the_lifts_are_those_of_the_whole_log(pieces: int, covariates: bool) -> None:
    pages, plan = draw(pieces), AnalysisPlan(covariates=covariates)
    live = LiveLift({"control": 1, "student": 1}, metrics=METRICS, plan=plan)
    for part in np.array_split(np.arange(pages.height), pieces):
        live.add(pages[part.tolist()])
    whole = analyze(pages, control="control", metrics=METRICS, plan=plan, details=False)
    found = numbers(live.lifts())
    assert found.keys() == numbers(whole.lifts).keys()
    for key, values in numbers(whole.lifts).items():
        assert found[key] == pytest.approx(values, rel=1e-9)
    assert live.sample_ratio() == next(c for c in whole.checks if c.name == "sample_ratio")


def test_what_was_saved_goes_on(tmp_path: Path) -> None:
    pages, first = draw(3), tmp_path / "a.arrow"
    whole = LiveLift({"control": 1, "student": 1}, metrics=METRICS)
    with pytest.raises(NotReady, match="nothing to save"):
        whole.save(first)
    whole.add(pages[:3_000])
    whole.save(first)
    second = LiveLift({"control": 1, "student": 1}, metrics=METRICS)
    second.restore(first)
    for live in (whole, second):
        live.add(pages[3_000:])
    for key, values in numbers(whole.lifts()).items():
        assert numbers(second.lifts())[key] == pytest.approx(values, rel=1e-12)


def test_a_damaged_file_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    live = LiveLift({"control": 1, "student": 1})
    live.add(draw(4))
    live.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableTally):
        live.restore(path)


def test_before_any_page_there_is_nothing_to_say() -> None:
    live = LiveLift({"control": 1, "student": 1})
    assert live.lifts() == ()
    assert live.sample_ratio().passed


def test_a_metric_that_the_log_cannot_tell_says_so() -> None:
    live = LiveLift({"control": 1, "student": 1}, primary="latency", metrics=["user_ctr"])
    live.add(draw(0))
    first = live.lifts()[0]
    assert first.found == Unavailable("the log has no latency_us")


def test_pages_that_are_refused_change_nothing() -> None:
    pages = draw(1)
    live = LiveLift({"control": 1, "student": 1}, metrics=METRICS)
    live.add(pages)
    before = live.lifts()
    with pytest.raises(InvalidRequest, match="dwell_seconds"):
        live.add(pages.with_columns(dwell_seconds=pl.lit(-1.0)))
    assert live.lifts() == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"primary": "happiness"}, '"happiness" is no metric'),
        ({"metrics": ["capped_dwell_per_unit"]}, "capped at a quantile of all units"),
        ({"metrics": ["sessions_per_unit"]}, "counts sessions"),
        ({"shares": {"control": 1.0}}, "has one arm"),
        ({"shares": {"control": 1.0, "student": 0.0}}, '"student" has 0, must be above 0'),
    ],
)
def test_what_cannot_be_followed_is_refused_at_once(given: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        LiveLift(**({"shares": {"control": 1, "student": 1}} | given))  # type: ignore[arg-type]
