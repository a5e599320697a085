"""A home's reports: the log, the registry and the splitter of one installation together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.platform.recorded import define, moved, pages_of, record, start

from ranklift.cli.reporting import arms_of, report_of_home
from ranklift.events.frames import read_events
from ranklift.lift.experiment import lift_report
from ranklift.lift.values import Check, LiftReport
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import RegisteredExperiment
from ranklift.traffic.splitter import assign
from ranklift.v1.errors import NotReady

USERS = [f"u{number:03}" for number in range(150)]


@pytest.fixture
def registry(sqlite_url: str) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def running(registry: Registry) -> RegisteredExperiment:
    """An experiment that four users in five take part in."""
    define(registry, traffic_share=8_000)
    return start(registry)


def check(report: LiftReport, name: str) -> Check:
    (found,) = [one for one in report.checks if one.name == name]
    return found


def test_the_report_is_that_of_the_whole_log_with_the_splitter_asked_again(
    running: RegisteredExperiment, tmp_path: Path
) -> None:
    assert running.started is not None
    before = pages_of(running, USERS[:100], running.started - timedelta(days=2))
    # What was shown before the start was in no experiment.
    asyncio.run(record(tmp_path, [replace(page, assignments=()) for page in before]))
    asyncio.run(record(tmp_path, pages_of(running, USERS, running.started)))
    report = report_of_home(tmp_path, running)
    took_part = [user for user in USERS if assign(running.experiment, user)]
    assert sum(arm.assigned_units for arm in report.arms) == len(took_part) < len(USERS)
    assert check(report, "recomputed_arms").detail.startswith(f"All of {len(took_part)} units")
    assert {segment.value for segment in report.segments} == {"new", "returning"}
    whole = lift_report(
        running, read_events(tmp_path), now=running.started, recompute=arms_of(running.experiment)
    )
    assert report == whole
    assert report_of_home(tmp_path, running) == report


def test_a_log_of_other_assignments_makes_the_report_invalid(
    running: RegisteredExperiment, tmp_path: Path
) -> None:
    assert running.started is not None
    pages = pages_of(running, USERS, running.started)
    asyncio.run(record(tmp_path, [*moved(pages[:50], "new"), *pages[50:]]))
    report = report_of_home(tmp_path, running)
    assert not check(report, "recomputed_arms").passed
    assert not report.valid


def test_the_splitter_says_who_takes_part_and_where(running: RegisteredExperiment) -> None:
    found = arms_of(running.experiment)(USERS)
    assigned = [assign(running.experiment, user) for user in USERS]
    assert found == [None if one is None else one.arm.name for one in assigned]
    assert set(found) == {"old", "new", None}


def test_past_days_are_kept_in_the_home_and_may_be_thrown_away(
    running: RegisteredExperiment, tmp_path: Path
) -> None:
    assert running.started is not None
    asyncio.run(record(tmp_path, pages_of(running, USERS, running.started)))
    report = report_of_home(tmp_path, running)
    kept = list((tmp_path / "cache" / "lift").rglob("*.sums"))
    assert kept
    for path in kept:
        path.write_bytes(b"")
    with capture_logs() as logs:
        assert report_of_home(tmp_path, running) == report
    assert {one["event"] for one in logs} == {"kept_day_unreadable"}


def test_a_home_that_cannot_be_written_is_still_reported(
    running: RegisteredExperiment, tmp_path: Path
) -> None:
    assert running.started is not None
    asyncio.run(record(tmp_path, pages_of(running, USERS, running.started)))
    (tmp_path / "cache").write_text("in the way")
    with capture_logs() as logs:
        report = report_of_home(tmp_path, running)
    assert sum(arm.pages for arm in report.arms) > 0
    assert {one["log_level"] for one in logs} == {"warning"}


def test_a_home_without_a_log_has_no_report(running: RegisteredExperiment, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="has no recorded page; send it traffic"):
        report_of_home(tmp_path, running)
    assert list(tmp_path.glob("cache")) == []
