"""The ledger of forecasts: what an arm was expected to bring, written down before it was known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import Engine, select

from ranklift.store.database import reading, utc_now, writing
from ranklift.store.tables import ArmRow, ForecastRow
from ranklift.v1.errors import InvalidRequest, NotFound


@dataclass(frozen=True, slots=True)
class Forecast:
    """The lift of an arm over what was logged, as estimated from the log.

    `lift` 0.01 is one per cent; `lower` and `upper` are the ends of its interval at
    `confidence_level`. `effective_units` and the share of `support` say what it rests on,
    `log_digest` on which pages.
    """

    experiment: str
    arm: str
    metric: str
    estimator: str
    lift: float
    lower: float
    upper: float
    confidence_level: float
    effective_units: float
    support: float
    log_digest: str


@dataclass(frozen=True, slots=True)
class RecordedForecast:
    """A forecast in the ledger and the instant when it was entered."""

    number: int
    made: datetime
    forecast: Forecast


class Forecasts:
    """Keeps forecasts. They are only ever added: a ledger that forgets its misses is worthless."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def record(self, forecast: Forecast) -> RecordedForecast:
        """Enter a forecast at the present instant.

        Raises:
            InvalidRequest: a number is not finite or outside its range, or the arm is the control.
            NotFound: the experiment has no such arm.
        """
        _check(forecast)
        with writing(self._engine) as session:
            arm = session.get(ArmRow, (forecast.experiment, forecast.arm))
            if arm is None:
                raise NotFound.of(
                    "arm",
                    f'experiment "{forecast.experiment}" has no arm "{forecast.arm}"; '
                    "apply the experiment first",
                )
            if arm.is_control:
                raise InvalidRequest.of(
                    "arm", f'"{forecast.arm}" is the control, which has no lift; name another arm'
                )
            row = ForecastRow(made=self._clock(), **asdict(forecast))
            session.add(row)
            session.flush()
            return _to_value(row)

    def list(self, experiment: str = "") -> tuple[RecordedForecast, ...]:
        """Return the forecasts, oldest first; those of one experiment, or of all."""
        query = select(ForecastRow).order_by(ForecastRow.number)
        if experiment:
            query = query.where(ForecastRow.experiment == experiment)
        with reading(self._engine) as session:
            return tuple(_to_value(row) for row in session.scalars(query))


def _check(forecast: Forecast) -> None:
    numbers = (forecast.lower, forecast.lift, forecast.upper)
    if (
        not all(map(math.isfinite, numbers))
        or not forecast.lower <= forecast.lift <= forecast.upper
    ):
        raise InvalidRequest.of(
            "lift", f"{forecast.lift} in [{forecast.lower}, {forecast.upper}] is no finite interval"
        )
    if not 0 < forecast.confidence_level < 1:
        raise InvalidRequest.of("confidence_level", f"{forecast.confidence_level} is not in (0, 1)")
    for field in ("effective_units", "support"):
        value: float = getattr(forecast, field)
        if not (math.isfinite(value) and value >= 0):
            raise InvalidRequest.of(field, f"{value} is not a number of at least 0")


def _to_value(row: ForecastRow) -> RecordedForecast:
    return RecordedForecast(
        row.number,
        row.made,
        Forecast(**{field.name: getattr(row, field.name) for field in fields(Forecast)}),
    )
