"""What was acknowledged is in the log exactly once, whoever is killed and whenever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
import pytest

from ranklift.events.frames import read_events
from ranklift.events.journal import Journal
from ranklift.events.ledger import read_counts
from ranklift.events.log import EventLog
from ranklift.events.manifest import Manifest
from ranklift.events.snapshot import read_snapshot

HERE = Path(__file__).parent
FRAMES = ("pages", "clicks", "dwells")
ReadAll = Callable[[Path], dict[str, pl.DataFrame]]


def recorder(home: Path, prefix: str, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, HERE / "recorder.py", home, prefix, str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def acknowledged(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the ids of each frame that whole lines of a recorder name."""
    calls = [json.loads(line) for line in lines if line.endswith("\n")]
    return {frame: [name for call in calls for name in call[frame]] for frame in FRAMES}


def ids(frames: dict[str, pl.DataFrame]) -> dict[str, list[str]]:
    return {
        frame: frames[frame]["impression_id" if frame == "pages" else "event_id"].to_list()
        for frame in FRAMES
    }


def assert_consistent(frames: dict[str, pl.DataFrame]) -> None:
    """Nothing twice, and nothing without what it followed."""
    for found in ids(frames).values():
        assert [name for name, times in Counter(found).items() if times > 1] == []
    documents = frames["documents"].select("document_id", "digest").rows()
    assert len(documents) == len(set(documents))
    assert set(frames["clicks"]["impression_id"]) <= set(frames["pages"]["impression_id"])
    assert set(frames["dwells"]["click_event_id"]) <= set(frames["clicks"]["event_id"])


def assert_files_are_whole_and_valid(home: Path) -> None:
    """What lies on disk after an opening is readable, and is what the frames read, or once was."""
    folder = home / "events"
    files = [path for path in folder.glob("*/date=*/*") if path.is_file()]
    assert {path.suffix for path in files} <= {".parquet"}
    valid = {folder / file.path for file in read_snapshot(folder).files}
    with contextlib.closing(Journal.open(folder)) as journal:
        assert valid <= set(files) <= {folder / path for path in Manifest(journal).named()}
    rows: Counter[str] = Counter()
    for path in files:
        height = pl.read_parquet(path, glob=False).height
        rows[path.parent.parent.name] += height if path in valid else 0
    frames = read_events(home)
    for frame in ("pages", "clicks", "dwells", "documents"):
        assert getattr(frames, frame).collect().height == rows[frame]


def open_and_export(home: Path) -> None:
    async def scenario() -> None:
        async with await EventLog.open(home) as log:
            await log.export()

    asyncio.run(scenario())


def test_ten_kills_lose_and_double_nothing(tmp_path: Path, read_all: ReadAll) -> None:
    rng = random.Random(20_250_301)
    expected: dict[str, list[str]] = {frame: [] for frame in FRAMES}
    for kill in range(10):
        with recorder(tmp_path, f"k{kill}", 1_000_000) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline()]
            timer = threading.Timer(rng.uniform(0.0, 0.25), child.send_signal, [signal.SIGKILL])
            timer.start()
            lines += child.stdout
            timer.join()
        assert child.returncode == -signal.SIGKILL
        for frame, names in acknowledged(lines).items():
            expected[frame] += names
        # As the kill left it: nobody has repaired anything.
        frames = read_all(tmp_path)
        assert_consistent(frames)
        for frame, names in ids(frames).items():
            assert set(expected[frame]) <= set(names)
        counts = Counter[str]()
        for (_, rule), n in read_counts(tmp_path / "events").items():
            counts[rule] += n
        # The counts stand or fall with the events that they count.
        recorded = len(frames["clicks"]) + len(frames["dwells"])
        assert counts["accepted"] + counts["clock_skewed"] == recorded
    assert len(expected["clicks"]) > 50
    before = ids(read_all(tmp_path))
    open_and_export(tmp_path)
    assert_files_are_whole_and_valid(tmp_path)
    assert {f: sorted(n) for f, n in ids(read_all(tmp_path)).items()} == {
        f: sorted(n) for f, n in before.items()
    }


@pytest.mark.parametrize("point", ["writing", "written", "renamed", "published"])
def test_an_export_may_die_at_any_point(tmp_path: Path, read_all: ReadAll, point: str) -> None:
    expected: list[str] = []
    for prefix in ("a", "b"):  # the second one begins in what the first one left
        child = subprocess.run(
            [sys.executable, HERE / "exporter.py", tmp_path, prefix, point], check=False
        )
        assert child.returncode == -signal.SIGKILL
        expected += [f"{prefix}{number}" for number in range(5)]
        frames = read_all(tmp_path)
        assert_consistent(frames)
        assert sorted(frames["pages"]["impression_id"]) == expected
        assert sorted(frames["clicks"]["impression_id"]) == expected
    orphans = [
        path
        for path in tmp_path.glob("events/*/date=*/*")
        if path.suffix == ".tmp" or point == "renamed"
    ]
    assert bool(orphans) == (point != "published")
    open_and_export(tmp_path)
    assert_files_are_whole_and_valid(tmp_path)
    assert sorted(read_all(tmp_path)["pages"]["impression_id"]) == expected


@pytest.mark.parametrize("point", ["writing", "written", "renamed", "swapped", "deleting"])
def test_a_compaction_may_die_at_any_point(tmp_path: Path, read_all: ReadAll, point: str) -> None:
    expected = []
    for prefix in ("a", "b"):  # the second one begins in what the first one left
        child = subprocess.run(
            [sys.executable, HERE / "compactor.py", tmp_path, prefix, point], check=False
        )
        assert child.returncode == -signal.SIGKILL
        expected += [f"{prefix}{number}" for number in range(8)]
        frames = read_all(tmp_path)
        assert_consistent(frames)
        assert sorted(frames["pages"]["impression_id"]) == expected
        assert sorted(frames["clicks"]["impression_id"]) == expected
    open_and_export(tmp_path)
    assert_files_are_whole_and_valid(tmp_path)
    assert sorted(read_all(tmp_path)["pages"]["impression_id"]) == expected


def test_a_disk_that_fills_up_and_empties_loses_nothing(tmp_path: Path, read_all: ReadAll) -> None:
    child = subprocess.run(
        [sys.executable, HERE / "cramped.py", tmp_path], check=True, text=True, capture_output=True
    )
    recorded = re.findall(r"^p\d+$", child.stdout, re.MULTILINE)  # the log prints there too
    assert len(recorded) > 20
    frames = read_all(tmp_path)
    assert_consistent(frames)
    assert sorted(frames["pages"]["impression_id"]) == sorted(recorded)
    open_and_export(tmp_path)
    assert_files_are_whole_and_valid(tmp_path)


def test_two_processes_write_and_a_third_reads(tmp_path: Path, read_all: ReadAll) -> None:
    with recorder(tmp_path, "a", 60) as one, recorder(tmp_path, "b", 60) as two:
        assert one.stdout is not None
        assert two.stdout is not None
        seen = 0
        while one.poll() is None and two.poll() is None:
            frames = read_all(tmp_path)
            assert_consistent(frames)
            assert frames["clicks"].height >= seen
            seen = frames["clicks"].height
        lines = [*one.stdout, *two.stdout]
    assert one.returncode == two.returncode == 0
    frames = read_all(tmp_path)
    assert_consistent(frames)
    told = acknowledged(lines)
    assert {f: set(names) for f, names in ids(frames).items()} == {
        f: set(names) for f, names in told.items()
    }
    # Both sent the 60 shared clicks; one of the two was told that each was a duplicate.
    assert sum(json.loads(line)["duplicates"] for line in lines) == 60
    assert len(told["clicks"]) - frames["clicks"].height == 60


def test_twenty_kills_under_load_lose_and_double_nothing() -> None:
    """The short form of `make chaos`: writers, a gateway with streams, a compactor."""
    chaos = [sys.executable, "-m", "tests.benchmarks.chaos", "--kills", "20", "--seed", "1"]
    done = subprocess.run(
        chaos, cwd=HERE.parents[2], check=False, text=True, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| kills | 20 " in done.stdout
