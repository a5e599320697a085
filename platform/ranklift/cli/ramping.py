"""Ramps of this installation: its registry, its log, and the controller between them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl

from ranklift.events.days import read_event_days
from ranklift.lift.experiment import refreshed_sums, subject_of
from ranklift.lift.kept import KeptDays
from ranklift.store.database import utc_now
from ranklift.store.registry import Registry
from ranklift.store.values import RegisteredExperiment
from ranklift.traffic.ramps.controller import RampController
from ranklift.traffic.ramps.evidence import Evidence, evidence_of, planned_size
from ranklift.v1.errors import NotReady


def controller_of(home: Path, registry: Registry) -> RampController:
    """Return the controller of the ramps of an installation."""
    return RampController(
        registry.experiments.running,
        registry.experiments,
        lambda registered, began: evidence_of_home(home, registered, began),
        utc_now,
    )


def evidence_of_home(home: Path, registered: RegisteredExperiment, began: datetime) -> Evidence:
    """Return what was recorded under `home` until now of an experiment whose step `began`.

    Sums of past days are kept in its cache, as those of reports are.

    Raises:
        InvalidRequest: the experiment's plan names an unknown metric.
        NotReady: the journal is of another version of ranklift, or no journal.
    """
    days = read_event_days(home)
    kept = KeptDays(home / "cache" / "lift")

    def sums(start: datetime | None = None) -> pl.DataFrame | None:
        try:
            return refreshed_sums(registered, days, kept, start=start).units
        except NotReady:  # no page
            return None

    units = sums()
    if units is None:
        return Evidence()
    step = sums(began)
    return evidence_of(
        subject_of(registered, utc_now()),
        planned_size(registered.experiment),
        units,
        units.clear() if step is None else step,
    )
