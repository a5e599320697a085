"""The registry as one value: its engine and its repositories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from ranklift.store.audit import Audit
from ranklift.store.database import check_schema, open_engine, utc_now
from ranklift.store.experiments import Experiments
from ranklift.store.forecasts import Forecasts
from ranklift.store.models import Models
from ranklift.store.runs import Runs
from ranklift.store.schedules import Schedules
from ranklift.store.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Registry:
    """What one installation knows of experiments, models, schedules, runs, forecasts and access."""

    engine: Engine
    experiments: Experiments
    models: Models
    schedules: Schedules
    runs: Runs
    forecasts: Forecasts
    tokens: Tokens
    audit: Audit

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def open_registry(url: str, *, clock: Callable[[], datetime] = utc_now) -> Registry:
    """Open the registry at `url`, a SQLite or a PostgreSQL URL.

    Raises:
        InvalidRequest: not such a URL.
        NotReady: its schema is not this version's.
        Unreachable: the database does not answer.
    """
    registry = open_unchecked(url, clock=clock)
    try:
        check_schema(registry.engine)
    except BaseException:
        registry.close()
        raise
    return registry


def open_unchecked(url: str, *, clock: Callable[[], datetime] = utc_now) -> Registry:
    """As `open_registry`, of a database that may be down: whoever uses it checks its schema.

    Raises:
        InvalidRequest: not such a URL.
    """
    engine = open_engine(url)
    return Registry(
        engine=engine,
        experiments=Experiments(engine, clock=clock),
        models=Models(engine, clock=clock),
        schedules=Schedules(engine),
        runs=Runs(engine, clock=clock),
        forecasts=Forecasts(engine, clock=clock),
        tokens=Tokens(engine, clock=clock),
        audit=Audit(engine),
    )
