"""Kept days: read as they were written, or made again; whoever else uses the folder."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from structlog.testing import capture_logs

from ranklift.lift.event_pages import EventTables
from ranklift.lift.kept import KeptDays, drop_kept

FRAMES = {
    "units": pl.DataFrame(
        {"unit_id": ["a", "ü"], "day": [date(2025, 3, 1)] * 2, "pages": [2**60, None]},
        schema_overrides={"pages": pl.Int64},
    ),
    "dwells": pl.DataFrame(schema={"unit_id": pl.String, "dwell_ms": pl.Int64}),
}
OTHERS = {"units": FRAMES["units"].reverse(), "dwells": FRAMES["dwells"]}


@dataclass(frozen=True)
class Marked:
    """A day of which only the names matter."""

    date: str = "2025-03-01"
    fingerprint: str = "f1"

    @property
    def frames(self) -> EventTables:
        raise AssertionError("only who makes the sums reads the day")


Frames = Mapping[str, pl.DataFrame]


def assert_frames(found: Frames, expected: Frames) -> None:
    assert list(found) == list(expected)
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame)


def never() -> Frames:
    raise AssertionError("the day is kept")


def only_file(folder: Path) -> Path:
    (path,) = [path for path in folder.rglob("*") if path.is_file()]
    return path


def test_what_was_made_is_read_and_not_made_again(tmp_path: Path) -> None:
    made = KeptDays(tmp_path).of("users", Marked(), lambda: FRAMES)
    assert_frames(made, FRAMES)
    assert_frames(KeptDays(tmp_path).of("users", Marked(), never), FRAMES)


@pytest.mark.parametrize(
    ("subject", "day"),
    [
        ("others", Marked()),
        ("users", Marked(date="2025-03-02")),
        ("users", Marked(fingerprint="f2")),
    ],
)
def test_another_subject_day_or_fingerprint_is_made(
    tmp_path: Path, subject: str, day: Marked
) -> None:
    kept = KeptDays(tmp_path)
    kept.of("users", Marked(), lambda: FRAMES)
    assert_frames(kept.of(subject, day, lambda: OTHERS), OTHERS)


def test_a_day_that_changed_replaces_what_was_kept_of_it(tmp_path: Path) -> None:
    kept = KeptDays(tmp_path)
    for fingerprint in ("f1", "f2", "f3"):
        kept.of("users", Marked(fingerprint=fingerprint), lambda: FRAMES)
    assert only_file(tmp_path).name.startswith("f3")


def test_another_version_shares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeptDays(tmp_path).of("users", Marked(), lambda: FRAMES)
    monkeypatch.setattr("ranklift.lift.kept.version", lambda _: "999")
    assert_frames(KeptDays(tmp_path).of("users", Marked(), lambda: OTHERS), OTHERS)


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), how=st.sampled_from(["cut", "flip", "grow"]))
def test_a_damaged_file_is_made_again_and_never_read(
    tmp_path_factory: pytest.TempPathFactory, where: float, how: str
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    kept = KeptDays(folder)
    kept.of("users", Marked(), lambda: FRAMES)
    path = only_file(folder)
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    if how == "cut":
        del content[at:]
    elif how == "flip":
        content[at] ^= 1
    else:
        content.insert(at, 0)
    path.write_bytes(content)
    with capture_logs() as logs:
        assert_frames(kept.of("users", Marked(), lambda: OTHERS), OTHERS)
    assert [one["event"] for one in logs] == ["kept_day_unreadable"]
    assert_frames(kept.of("users", Marked(), never), OTHERS)


def test_a_folder_that_cannot_be_written_only_warns(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with capture_logs() as logs:
        made = KeptDays(tmp_path / "cache").of("users", Marked(), lambda: FRAMES)
    assert_frames(made, FRAMES)
    assert "day_not_kept" in [one["event"] for one in logs]
    assert {one["log_level"] for one in logs} == {"warning"}


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ranklift.lift.kept.os.replace", full)
    with capture_logs() as logs:
        assert_frames(KeptDays(tmp_path).of("users", Marked(), lambda: FRAMES), FRAMES)
    assert [one["event"] for one in logs] == ["day_not_kept"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_cannot_be_made_is_not_kept(tmp_path: Path) -> None:
    def fail() -> Frames:
        raise RuntimeError("no such column")

    with pytest.raises(RuntimeError, match="no such column"):
        KeptDays(tmp_path).of("users", Marked(), fail)
    assert list(tmp_path.rglob("*.sums")) == []


def keep_many(folder: Path, rows: int, together: Barrier, wrong: Callable[[str], None]) -> None:
    """Keep days whose content follows from their names, as often and as fast as possible."""
    together.wait(60)
    for turn in range(60):
        # Both processes meet at the same day and fingerprint, and replace each other's.
        value = turn // 3
        expected = pl.DataFrame({"n": pl.repeat(value, rows, dtype=pl.Int64, eager=True)})
        day = Marked(fingerprint=f"f{value}")
        made = {"units": expected}
        found = KeptDays(folder).of("users", day, partial(dict, made))
        if not found["units"].equals(expected):
            wrong(f"{value}: {found}")


def test_processes_that_keep_the_same_day_at_once_all_get_it_right(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    together, wrong = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(target=keep_many, args=(tmp_path, 20_000, together, wrong.put))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert wrong.empty()
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".sums"]


def test_what_is_kept_of_earlier_days_can_be_dropped_and_all_of_it(tmp_path: Path) -> None:
    kept = KeptDays(tmp_path)
    days = [Marked(date=f"2025-03-0{number}") for number in range(1, 5)]
    for subject in ("users", "others"):
        for day in days:
            kept.of(subject, day, lambda: FRAMES)
    drop_kept(tmp_path, before="2025-03-03")
    for subject in ("users", "others"):
        assert_frames(kept.of(subject, days[0], lambda: OTHERS), OTHERS)
        assert_frames(kept.of(subject, days[2], never), FRAMES)
    drop_kept(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    drop_kept(tmp_path / "never made")
