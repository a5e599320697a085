"""How good the forecasts were: each against what its experiment then measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
from scipy.special import ndtri

from ranklift.lift.values import Interval, LiftReport, Measured, Unavailable
from ranklift.store.forecasts import RecordedForecast

# Forecast and measurement disagree when they are further apart than their errors explain.
AGREEMENT = 1.96

SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("experiment", "arm", "metric", "estimator"), pl.String()),
        "made": pl.Datetime("us", "UTC"),
        **dict.fromkeys(("forecast_lift", "forecast_lower", "forecast_upper"), pl.Float64()),
        **dict.fromkeys(("measured_lift", "measured_lower", "measured_upper"), pl.Float64()),
        **dict.fromkeys(("error", "standardised_error"), pl.Float64()),
        **dict.fromkeys(("within", "overlap"), pl.Boolean()),
        "reason": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A forecast held against its measurement; lifts are relative, 0.01 is one per cent.

    `error` is forecast minus measured, `standardised_error` that over the standard error of both
    together, None when an interval has no end or no width. `within`: the measured lift lies in
    the forecast's interval, which happens less often than the interval's level even to a perfect
    forecast, as the measurement has an error of its own. `overlap`: the two intervals meet.
    """

    measured_lift: float
    measured_interval: Interval
    error: float
    standardised_error: float | None
    within: bool
    overlap: bool


@dataclass(frozen=True, slots=True)
class Score:
    """A forecast and what became of it, or why that cannot be said (yet)."""

    recorded: RecordedForecast
    outcome: Outcome | Unavailable


@dataclass(frozen=True, slots=True)
class Calibration:
    """How an estimator's forecasts did over all experiments.

    Counts are of `scored` forecasts. `agreeing` of `comparable` ones differ from the measurement
    by less than 1.96 standard errors of both, 95 % of them when forecasts are unbiased and their
    intervals honest. `mean_error` is the estimator's bias, in relative lift. `same_sign`: forecast
    and measured lift point the same way.
    """

    estimator: str
    scored: int
    within: int
    overlapping: int
    comparable: int
    agreeing: int
    same_sign: int
    mean_error: float
    root_mean_square_error: float


def score(
    forecasts: Iterable[RecordedForecast], reports: Iterable[LiftReport]
) -> tuple[Score, ...]:
    """Return every forecast against the report of its experiment, in the forecasts' order.

    A forecast that was entered after the experiment's first page is no forecast, and an invalid
    report measures nothing: both say so.
    """
    by_name = {report.experiment: report for report in reports}
    return tuple(
        Score(one, _outcome(one, by_name.get(one.forecast.experiment))) for one in forecasts
    )


def calibration(scores: Sequence[Score]) -> tuple[Calibration, ...]:
    """Return how each estimator did that has a scored forecast, by name."""
    outcomes: dict[str, list[tuple[float, Outcome]]] = {}
    for one in scores:
        if isinstance(one.outcome, Outcome):
            forecast = one.recorded.forecast
            outcomes.setdefault(forecast.estimator, []).append((forecast.lift, one.outcome))
    return tuple(_calibration(name, outcomes[name]) for name in sorted(outcomes))


def table(scores: Sequence[Score]) -> pl.DataFrame:
    """Return one row for each forecast; what was not measured is null, and `reason` says why."""
    rows = []
    for one in scores:
        forecast, outcome = one.recorded.forecast, one.outcome
        known = outcome if isinstance(outcome, Outcome) else None
        rows.append(
            {
                "experiment": forecast.experiment,
                "arm": forecast.arm,
                "metric": forecast.metric,
                "estimator": forecast.estimator,
                "made": one.recorded.made,
                "forecast_lift": forecast.lift,
                "forecast_lower": forecast.lower,
                "forecast_upper": forecast.upper,
                "measured_lift": known and known.measured_lift,
                "measured_lower": known and known.measured_interval.lower,
                "measured_upper": known and known.measured_interval.upper,
                "error": known and known.error,
                "standardised_error": known and known.standardised_error,
                "within": known and known.within,
                "overlap": known and known.overlap,
                "reason": outcome.reason if isinstance(outcome, Unavailable) else "",
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _outcome(recorded: RecordedForecast, report: LiftReport | None) -> Outcome | Unavailable:
    forecast = recorded.forecast
    if report is None:
        return Unavailable("the experiment has measured nothing yet")
    if report.start is not None and recorded.made >= report.start:
        return Unavailable("entered after the experiment's first page: no forecast")
    if not report.valid:
        return Unavailable("the report is invalid")
    found = next(
        (
            lift.found
            for lift in report.lifts
            if (lift.metric, lift.arm) == (forecast.metric, forecast.arm)
        ),
        None,
    )
    if found is None:
        return Unavailable(f"the report has no {forecast.metric} of arm {forecast.arm}")
    if isinstance(found, Unavailable):
        return found
    return _compared(recorded, found, report.confidence_level)


def _compared(recorded: RecordedForecast, found: Measured, level: float) -> Outcome:
    forecast, measured = recorded.forecast, found.relative_lift_interval
    error = forecast.lift - found.relative_lift
    expected = Interval(forecast.lower, forecast.upper)
    spread = math.hypot(
        _standard_error(expected, forecast.confidence_level), _standard_error(measured, level)
    )
    return Outcome(
        measured_lift=found.relative_lift,
        measured_interval=measured,
        error=error,
        standardised_error=error / spread if 0 < spread < math.inf else None,
        within=expected.lower <= found.relative_lift <= expected.upper,
        overlap=expected.lower <= measured.upper and measured.lower <= expected.upper,
    )


def _standard_error(interval: Interval, level: float) -> float:
    return (interval.upper - interval.lower) / (2 * float(ndtri((1 + level) / 2)))


def _calibration(estimator: str, outcomes: Sequence[tuple[float, Outcome]]) -> Calibration:
    number = len(outcomes)
    errors = [outcome.error for _, outcome in outcomes]
    standardised = [
        outcome.standardised_error
        for _, outcome in outcomes
        if outcome.standardised_error is not None
    ]
    return Calibration(
        estimator=estimator,
        scored=number,
        within=sum(outcome.within for _, outcome in outcomes),
        overlapping=sum(outcome.overlap for _, outcome in outcomes),
        comparable=len(standardised),
        agreeing=sum(abs(error) <= AGREEMENT for error in standardised),
        same_sign=sum(lift * outcome.measured_lift > 0 for lift, outcome in outcomes),
        mean_error=sum(errors) / number,
        root_mean_square_error=math.sqrt(sum(error**2 for error in errors) / number),
    )
