"""Reports of this installation: its experiments, its log, its splitter, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ranklift.events.days import read_event_days
from ranklift.events.files import EventFiles
from ranklift.events.frames import read_events
from ranklift.lift.experiment import refreshed_report
from ranklift.lift.kept import KeptDays
from ranklift.lift.preference.report import preferences
from ranklift.lift.preference.values import ArmPreferences
from ranklift.lift.shadows import ShadowSummary, shadow_summaries
from ranklift.lift.values import LiftReport
from ranklift.store.values import Experiment, RegisteredExperiment
from ranklift.traffic.interleaving import VOTES
from ranklift.traffic.splitter import Splitter


def report_of_home(
    home: Path,
    registered: RegisteredExperiment,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    files: EventFiles | None = None,
) -> LiftReport:
    """Return the report of an experiment on all that was recorded under `home` until now.

    Sums of past days are kept in its cache. `files` is where its log lies, if not there.

    Raises:
        InvalidRequest, NotReady: as `ranklift.lift.experiment.lift_report`.
    """
    return refreshed_report(
        registered,
        read_event_days(home, files),
        KeptDays(home / "cache" / "lift"),
        start=start,
        end=end,
        now=datetime.now(UTC),
        recompute=arms_of(registered.experiment),
    )


def preferences_of_home(
    home: Path,
    registered: RegisteredExperiment,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    files: EventFiles | None = None,
) -> tuple[ArmPreferences, ...]:
    """Return what the clicks on interleaved pages say, on all that was recorded until now.

    Raises:
        NotReady: as `ranklift.lift.preference.report.preferences`.
    """
    return preferences(registered, read_events(home, files), VOTES, start=start, end=end)


def shadows_of_home(
    home: Path, registered: RegisteredExperiment, *, files: EventFiles | None = None
) -> tuple[ShadowSummary, ...]:
    """Return how an experiment's shadows compare with what was served; none without shadows."""
    return shadow_summaries(registered, read_events(home, files))


def arms_of(experiment: Experiment) -> Callable[[Sequence[str]], list[str | None]]:
    """Return the function that tells the arm which each unit must have met."""

    splitter = Splitter.of(experiment)

    def arms(units: Sequence[str]) -> list[str | None]:
        assigned = [splitter.assign(unit) for unit in units]
        return [None if one is None else one.arm.name for one in assigned]

    return arms
