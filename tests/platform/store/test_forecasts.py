"""What the registry promises of forecasts, on every database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ranklift.store.database import writing
from ranklift.store.forecasts import Forecast, Forecasts, RecordedForecast
from ranklift.store.registry import Registry
from ranklift.store.values import Arm, Experiment, Lineage, ModelRef, ModelVersion
from ranklift.v1.errors import InvalidRequest, NotFound

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FORECAST = Forecast(
    experiment="title-boost",
    arm="treatment",
    metric="clicks_per_page",
    estimator="position_based",
    lift=0.031234567890123,
    lower=-0.01,
    upper=0.07,
    confidence_level=0.95,
    effective_units=812.5,
    support=0.98,
    log_digest="sha256:" + "1" * 64,
)


@pytest.fixture
def forecasts(registry: Registry) -> Forecasts:
    for version in ("1", "2"):
        registry.models.register(
            ModelVersion(
                ModelRef("student", version),
                "encoder",
                "sha256:" + version * 64,
                "fp32",
                "m",
                Lineage("sft"),
                NOON,
            )
        )
    for name in ("title-boost", "other"):
        arms = (
            Arm("control", 5000, ModelRef("student", "1")),
            Arm("treatment", 5000, ModelRef("student", "2")),
        )
        registry.experiments.create(Experiment(name, arms, "control", salt=name), actor="ada")
    return Forecasts(registry.engine, clock=_clock())


def _clock() -> Callable[[], datetime]:
    ticks = iter(NOON + timedelta(microseconds=tick) for tick in range(1_000))
    return lambda: next(ticks)


def test_a_forecast_comes_back_as_it_was_entered(forecasts: Forecasts) -> None:
    recorded = forecasts.record(FORECAST)
    assert recorded == RecordedForecast(1, NOON, FORECAST)
    assert forecasts.list() == (recorded,)


def test_forecasts_are_added_and_never_replaced(forecasts: Forecasts) -> None:
    first = forecasts.record(FORECAST)
    second = forecasts.record(replace(FORECAST, lift=0.05))
    elsewhere = forecasts.record(replace(FORECAST, experiment="other"))
    assert forecasts.list("title-boost") == (first, second)
    assert forecasts.list() == (first, second, elsewhere)
    assert forecasts.list("absent") == ()


def test_only_an_arm_that_can_have_a_lift_is_forecast(forecasts: Forecasts) -> None:
    for unknown in (replace(FORECAST, arm="absent"), replace(FORECAST, experiment="absent")):
        with pytest.raises(NotFound, match=r'has no arm ".*"; apply the experiment first'):
            forecasts.record(unknown)
    with pytest.raises(InvalidRequest, match='"control" is the control'):
        forecasts.record(replace(FORECAST, arm="control"))
    assert forecasts.list() == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lift", nan),
        ("lift", 0.08),
        ("lower", -inf),
        ("upper", inf),
        ("confidence_level", 1.0),
        ("confidence_level", nan),
        ("effective_units", -1.0),
        ("effective_units", nan),
        ("support", inf),
    ],
)
def test_numbers_that_are_none_are_refused(forecasts: Forecasts, field: str, value: float) -> None:
    with pytest.raises(InvalidRequest):
        forecasts.record(replace(FORECAST, **{field: value}))  # type: ignore[arg-type]


def test_what_no_forecast_can_be_never_reaches_the_table(
    registry: Registry, forecasts: Forecasts
) -> None:
    forecasts.record(FORECAST)
    for change in ("lower = 1", "confidence_level = 1", "effective_units = -1", "arm = 'absent'"):
        with pytest.raises(IntegrityError), writing(registry.engine) as session:
            session.execute(text(f"UPDATE forecasts SET {change}"))  # noqa: S608
