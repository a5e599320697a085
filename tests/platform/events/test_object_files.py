"""The same log with its files on object storage: S3 as moto serves it, over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from polars.testing import assert_frame_equal

from ranklift.events.archive import read_archive, write_archive
from ranklift.events.compaction import compact, delete_obsolete
from ranklift.events.days import read_event_days
from ranklift.events.files import EventFiles, LocalFiles, parquet_of
from ranklift.events.forgetting import forget
from ranklift.events.frames import EventFrames, read_events, window
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.log import EventLog, open_journal, utc_now
from ranklift.events.object_files import ObjectFiles
from ranklift.events.pending import PendingClick
from ranklift.events.places import OWNER_NAME
from ranklift.events.retention import retain
from ranklift.events.rows import SCHEMAS
from ranklift.events.values import Document, Page
from ranklift.v1.errors import InvalidRequest, NotReady

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FRAMES = ("pages", "clicks", "dwells", "documents", "shadows")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """The options of a running S3 with a bucket named "events"."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "any", "secret": "any", "endpoint_url": f"http://{host}:{port}"}
    fsspec.filesystem("s3", **options).mkdir("events")
    yield options
    server.stop()


@pytest.fixture
def bucket(s3: dict[str, Any], request: pytest.FixtureRequest) -> ObjectFiles:
    return ObjectFiles.at(f"s3://events/{request.node.name}", s3)


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> EventFiles:
    match request.param:
        case "local":
            return LocalFiles(tmp_path)
        case "memory":
            return ObjectFiles.at(f"memory://{tmp_path.name}")
        case _:
            return ObjectFiles.at(f"s3://events/{tmp_path.name}", request.getfixturevalue("s3"))


async def record(log: EventLog, make_page: MakePage, *numbers: int) -> None:
    for number in numbers:
        shown_at = T0 + number * DAY / 4
        page = make_page(f"p{number}", page_time=shown_at, user_id=f"u{number % 3}")
        await log.record_page(page, [Document("d1", "title", "text")])
        await log.record_events([PendingClick(f"c{number}", f"p{number}", "d2", shown_at)])


def collected(frames: EventFrames) -> dict[str, pl.DataFrame]:
    return {name: getattr(frames, name).collect().sort(pl.first()) for name in FRAMES}


def test_a_place_keeps_files(place: EventFiles) -> None:
    rows = pl.DataFrame(
        {"document_id": ["d1", "d2", "d3"], "digest": "x", "title": "t", "text": ["a", "b", "c"]}
    )
    paths = [f"documents/date=2025-03-0{day}/{day}.parquet" for day in range(1, 5)]
    assert dict(place.sizes()) == {}
    for path in paths:
        place.write(path, parquet_of(rows))
    assert place.sizes() == dict.fromkeys(paths, parquet_of(rows).nbytes)
    assert place.read(paths[0]) == bytes(parquet_of(rows))
    frame = place.scan(paths, "documents")
    assert frame.collect_schema() == SCHEMAS["documents"]
    assert frame.collect().height == 12
    few = frame.filter(pl.col("text") > "a").select("title", "document_id")
    assert few.collect().columns == ["title", "document_id"]
    assert few.collect()["document_id"].to_list() == ["d2", "d3"] * 4
    assert frame.head(5).collect().height == 5
    assert frame.select(pl.len()).collect().item() == 12
    place.delete(paths[0])
    place.delete(paths[0])
    assert place.sizes().keys() == set(paths[1:])
    with pytest.raises(FileNotFoundError):
        place.read(paths[0])


def test_files_of_an_older_ranklift_lack_columns(place: EventFiles) -> None:
    rows = pl.DataFrame({"document_id": ["d1"], "digest": ["x"], "title": ["t"]})
    place.write("documents/date=2025-03-01/a.parquet", parquet_of(rows))
    found = place.scan(["documents/date=2025-03-01/a.parquet"], "documents").collect()
    assert found.rows() == [("d1", "x", "t", None)]


def test_a_log_on_s3_is_the_log_on_the_disk(
    tmp_path: Path, bucket: ObjectFiles, make_page: MakePage
) -> None:
    async def scenario(home: Path, files: EventFiles) -> None:
        async with await EventLog.open(home, files=files) as log:
            for number in range(8):
                await record(log, make_page, number)
                await log.export()
            await record(log, make_page, 8, 9)

    disk = LocalFiles(tmp_path / "disk" / FOLDER_NAME)
    asyncio.run(scenario(tmp_path / "disk", disk))
    asyncio.run(scenario(tmp_path / "s3", bucket))
    folder = tmp_path / "s3" / FOLDER_NAME

    def same() -> EventFrames:
        on_disk, on_s3 = read_events(tmp_path / "disk"), read_events(tmp_path / "s3", bucket)
        for name, frame in collected(on_disk).items():
            assert_frame_equal(collected(on_s3)[name], frame)
        cut = [window(frames, T0 + DAY, T0 + 2 * DAY) for frames in (on_disk, on_s3)]
        assert_frame_equal(collected(cut[0])["clicks"], collected(cut[1])["clicks"])
        days = read_event_days(tmp_path / "s3", bucket)
        assert [day.date for day in days] == ["2025-03-01", "2025-03-02", "2025-03-03"]
        assert (
            sum(day.frames.clicks.collect().height for day in days) == on_s3.clicks.collect().height
        )
        return on_s3

    earlier = same()
    assert not list(folder.glob("*/date=*"))
    assert compact(folder, bucket, lambda: T0, fully=True).into == 4
    same()
    assert earlier.pages.collect().height == 10
    assert delete_obsolete(folder, bucket, lambda: T0 + DAY) == 16
    same()
    for home, files in ((tmp_path / "s3", bucket), (tmp_path / "disk", disk)):
        assert forget(home / FOLDER_NAME, files, "u2", utc_now)["pages"] == 3
    same()
    assert read_events(tmp_path / "s3", bucket).pages.collect().height == 7
    for path in bucket.sizes():
        assert '"u2"' not in pl.read_parquet(bucket.read(path)).write_json()
    assert retain(folder, bucket, 1, lambda: T0 + 2 * DAY).days == ("2025-03-01",)
    assert read_events(tmp_path / "s3", bucket).pages.collect()["page_time"].min() == T0 + DAY


def test_an_archive_may_lie_on_s3(tmp_path: Path, bucket: ObjectFiles, make_page: MakePage) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path / "home") as log:
            await record(log, make_page, *range(6))

    asyncio.run(scenario())
    folder, new = tmp_path / "home" / FOLDER_NAME, tmp_path / "new" / FOLDER_NAME
    write_archive(folder, LocalFiles(folder), bucket)
    open_journal(new, LocalFiles(new)).close()
    assert read_archive(new, LocalFiles(new), bucket, utc_now).recorded["pages"] == 6
    for name, frame in collected(read_events(tmp_path / "home")).items():
        assert_frame_equal(collected(read_events(tmp_path / "new"))[name], frame)


def test_two_logs_never_share_a_place(
    tmp_path: Path, bucket: ObjectFiles, make_page: MakePage
) -> None:
    async def scenario(home: Path) -> None:
        async with await EventLog.open(home, files=bucket) as log:
            await record(log, make_page, 1)
            await log.export()

    asyncio.run(scenario(tmp_path / "one"))
    for _ in range(2):
        with pytest.raises(NotReady, match="another log"):
            asyncio.run(scenario(tmp_path / "two"))
    asyncio.run(scenario(tmp_path / "one"))
    assert read_events(tmp_path / "one", bucket).pages.collect().height == 1
    assert bucket.system.exists(f"{bucket.root}/{OWNER_NAME}")


def test_a_log_does_not_change_its_place_by_a_setting(
    tmp_path: Path, bucket: ObjectFiles, make_page: MakePage
) -> None:
    async def scenario(files: EventFiles | None) -> None:
        async with await EventLog.open(tmp_path, files=files) as log:
            await record(log, make_page, 1)
            await log.export()

    asyncio.run(scenario(None))
    with pytest.raises(NotReady, match="exporting and importing"):
        asyncio.run(scenario(bucket))
    with pytest.raises(NotReady, match="exporting and importing"):
        read_events(tmp_path, bucket)
    with pytest.raises(NotReady, match="exporting and importing"):
        read_event_days(tmp_path, bucket)
    assert read_events(tmp_path).pages.collect().height == 1


def test_events_go_on_while_the_storage_is_away(
    tmp_path: Path, bucket: ObjectFiles, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = ObjectFiles.at(
        "s3://events/x",
        {
            "key": "any",
            "secret": "any",
            "endpoint_url": "http://127.0.0.1:9",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        },
    )

    async def scenario() -> None:
        async with await EventLog.open(tmp_path, files=bucket) as log:
            await record(log, make_page, 1)
            monkeypatch.setattr(log, "_files", away)
            with pytest.raises(OSError, match="object storage"):
                await log.export()
            await record(log, make_page, 2)
            monkeypatch.setattr(log, "_files", bucket)
            await log.export()
        monkeypatch.setattr("ranklift.events.log.take_place", lambda *_: away.read("x"))
        async with await EventLog.open(tmp_path, files=bucket) as log:  # a restart meanwhile
            await record(log, make_page, 3)
        with pytest.raises(OSError, match="object storage"):
            await EventLog.open(tmp_path / "new", files=bucket)  # nobody knows whose it is

    asyncio.run(scenario())
    assert read_events(tmp_path, bucket).pages.collect().height == 3
    assert len(bucket.sizes()) == 3


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        ObjectFiles.at("nowhere://bucket")
