"""`ranklift events`, on an installation whose experiment was reported on."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.platform.recorded import NAME, define, pages_of, record, start

from ranklift.cli import main
from ranklift.cli.composition import registry_of
from ranklift.cli.reporting import report_of_home
from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick
from ranklift.settings import load_settings

Run = Callable[..., int]
USERS = [f"user-{number:04d}-{number * 7919 % 1000:03d}" for number in range(40)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two days of forty users, and a report that kept their sums."""
    with registry_of(load_settings(home=tmp_path)) as registry:
        define(registry)
        running = start(registry)
        assert running.started is not None
        for days in (0, 1):
            since = running.started + timedelta(days=days)
            asyncio.run(record(tmp_path, pages_of(running, USERS, since)))
        report_of_home(tmp_path, running)
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RANKLIFT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", "events", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return call


def kept(home: Path) -> list[Path]:
    return [path for path in home.joinpath("cache/lift").rglob("*") if path.is_file()]


def test_a_unit_is_counted_and_then_forgotten_with_all_kept_sums(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept(home)
    assert run("forget", USERS[3]) == 0
    told = capsys.readouterr().out
    assert told.startswith("4 pages, ")
    assert "add --yes" in told
    assert kept(home)
    assert read_events(home).pages.collect().height == 160
    assert run("forget", USERS[3], "--yes") == 0
    assert capsys.readouterr().out.startswith("4 pages, ")
    assert not kept(home)
    assert read_events(home).pages.collect().height == 156
    for path in home.rglob("*"):
        if path.is_file():
            assert USERS[3].encode() not in path.read_bytes()
            if path.suffix == ".parquet":
                assert USERS[3] not in pl.read_parquet(path).write_json()
    with registry_of(load_settings(home=home)) as registry:
        report = report_of_home(home, registry.experiments.get(NAME))
    assert sum(arm.exposed_units for arm in report.arms) == 39


def test_dropped_days_take_their_kept_sums_along(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today = datetime.now(UTC).date().isoformat()
    assert {path.parent.name for path in kept(home)} == {
        day.date().isoformat() for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1))
    }
    assert run("retain", "--days", "1") == 0
    assert "0 days before" in capsys.readouterr().out
    for path in kept(home):
        if path.parent.name == today:
            path.parent.rename(path.parent.with_name("2020-01-01"))
    assert run("retain", "--days", "1") == 0
    assert "2020-01-01" not in {path.parent.name for path in kept(home)}
    assert len(kept(home)) >= 1


def test_compacting_says_what_it_did(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compact") == 0
    assert "0 files became 0" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["ranklift", "ubi"])
def test_what_is_exported_is_imported_elsewhere(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    target, other = str(tmp_path / "archive"), str(tmp_path / "other")
    assert run("export", target, "--format", form) == 0
    assert "160 pages" in capsys.readouterr().out.replace("queries", "pages")
    assert run("import", target, "--format", form, "--home", other) == 0
    assert "recorded 160 pages, " in capsys.readouterr().out
    pages = read_events(Path(other)).pages.collect()
    assert set(pages["impression_id"]) == set(read_events(home).pages.collect()["impression_id"])
    assert run("import", target, "--format", form, "--home", other) == 0
    assert "recorded nothing; seen before 160 pages, " in capsys.readouterr().out
    assert run("export", target, "--format", form) == 2
    assert "already" in capsys.readouterr().err


def test_a_url_must_name_object_storage(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("/mnt/events", "file:///mnt/events"):
        monkeypatch.setenv("RANKLIFT_EVENTS__URL", url)
        assert run("compact") == 2
        assert "name object storage" in capsys.readouterr().err
    monkeypatch.setenv("RANKLIFT_EVENTS__URL", "memory://events")
    assert run("compact") == 2
    assert "exporting and importing" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["compact"], ["retain", "--days", "3"], ["forget", "u"]])
def test_a_home_without_a_log_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(*command, "--home", str(tmp_path / "other")) == 2
    assert "no event log in" in capsys.readouterr().err


def test_a_full_disk_is_told_in_one_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        assert run("export", str(tmp_path / "archive")) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the storage gave way" in capsys.readouterr().err


def test_status_and_quarantine_tell_what_became_of_events(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, shown, date = (
        read_events(home).pages.select("impression_id", "documents", "page_time").collect().row(0)
    )
    assert run("quarantine") == 0
    assert capsys.readouterr().out.startswith("nothing is in quarantine")

    async def click() -> None:
        async with await EventLog.open(home) as log:
            await log.record_events(
                [PendingClick(f"bot-{n}", page, shown[0], date) for n in range(103)]
            )

    asyncio.run(click())
    assert run("quarantine", "--reason", "bot_like", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["event_id"] for one in told} >= {"bot-101", "bot-102"}
    assert all(one["body"]["impression_id"] == page for one in told)
    assert run("quarantine", "--reason", "another") == 0
    assert capsys.readouterr().out.startswith("nothing is in quarantine")
    assert run("status") == 0
    status = capsys.readouterr().out
    assert f"{len(told)} bot_like" in status
    assert "quarantine" in status
