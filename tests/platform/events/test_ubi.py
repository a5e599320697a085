"""OpenSearch's User Behavior Insights: what is written is UBI 1.3.0, what others write is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from ranklift.events.files import LocalFiles
from ranklift.events.frames import read_events
from ranklift.events.importing import Imported
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.log import EventLog, open_journal, utc_now
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.ubi import EVENTS, QUERIES, Mapped, read_ubi, write_ubi
from ranklift.events.values import Attribute, Document, Page
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, 23, 59, 59, 123_456, tzinfo=UTC)

# Written by hand after the examples of the specification.
QUERY: Mapping[str, Any] = {
    "application": "amazon-shop",
    "query_id": "1234-user-5678",
    "client_id": "5e3b2a1c-8b7d-4f2e-a3d4-c9b2e1f3a4b5",
    "user_query": "toner",
    "timestamp": "2018-11-13T20:20:39+01:00",
    "object_id_field": "sku",
    "query_attributes": {"experiment": "x", "model": {"name": 5}, "attributes": ["red"]},
    "query_response_hit_ids": ["B07XLFYN6S", "B013UFPODY", "7"],
}
CLICK: Mapping[str, Any] = {
    "action_name": "click_through",
    "query_id": "1234-user-5678",
    "session_id": "84266fdbd31d4c2c6d0665f7e8380fa3",
    "client_id": "5e3b2a1c-8b7d-4f2e-a3d4-c9b2e1f3a4b5",
    "timestamp": "2018-11-13T20:20:39",
    "event_attributes": {
        "object": {"object_id": "B013UFPODY", "object_id_field": "sku"},
        "position": {"ordinal": 24},
    },
}


@pytest.fixture
def home(tmp_path: Path, make_page: MakePage) -> Path:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path / "home") as log:
            for number in range(4):
                page = make_page(
                    f"p{number}",
                    page_time=T0 + number * timedelta(minutes=1),
                    query="Flügel \u2028 ”x”",
                    attributes=(Attribute("country", "NL"),),
                )
                await log.record_page(page, [Document("d1", "title", "text")])
                await log.record_events(
                    [
                        PendingClick(f"c{number}", f"p{number}", "d3", T0),
                        PendingDwell(f"w{number}", f"c{number}", 5),
                    ]
                )

    asyncio.run(scenario())
    return tmp_path / "home"


def write(home: Path, target: Path) -> Mapped:
    folder = home / FOLDER_NAME
    return write_ubi(folder, LocalFiles(folder), LocalFiles(target))


def read(home: Path, source: Path) -> tuple[Mapped, Imported]:
    folder = home / FOLDER_NAME
    open_journal(folder, LocalFiles(folder)).close()
    return read_ubi(folder, LocalFiles(folder), LocalFiles(source), utc_now)


def put(folder: Path, queries: list[Mapping[str, Any]], events: list[Mapping[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in ((QUERIES, queries), (EVENTS, events)):
        (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    return folder


def test_pages_and_clicks_come_back_and_the_rest_is_counted(home: Path, tmp_path: Path) -> None:
    written = write(home, tmp_path / "ubi")
    assert (written.queries, written.events) == (4, 4)
    assert written.left_out == {"dwells": 4, "assignments": 4, "lists of scores": 4}
    mapped, imported = read(tmp_path / "new", tmp_path / "ubi")
    assert (mapped.queries, mapped.events, mapped.left_out) == (4, 4, {})
    assert imported.recorded == {"pages": 4, "clicks": 4}
    before, after = read_events(home), read_events(tmp_path / "new")
    columns = ["impression_id", "page_time", "user_id", "session_id", "query", "documents"]
    columns += ["model", "version", "attributes"]
    assert_frame_equal(
        before.pages.select(columns).collect(),
        after.pages.select(columns).collect(),
        check_row_order=False,
    )
    assert_frame_equal(before.clicks.collect(), after.clicks.collect(), check_row_order=False)
    _, again = read(tmp_path / "new", tmp_path / "ubi")
    assert again.recorded.total() == 0
    assert again.duplicates == {"pages": 4, "clicks": 4}
    with pytest.raises(AlreadyExists):
        write(home, tmp_path / "ubi")


def test_what_is_written_has_the_fields_of_the_specification(home: Path, tmp_path: Path) -> None:
    write(home, tmp_path / "ubi")
    query = json.loads((tmp_path / "ubi" / QUERIES).read_text().split("\n")[0])
    event = json.loads((tmp_path / "ubi" / EVENTS).read_text().split("\n")[0])
    assert query["query_id"] == event["query_id"] == "p0"
    assert query["user_query"] == "Flügel \u2028 ”x”"
    assert query["timestamp"] == "2025-03-01T23:59:59.123456Z"
    assert query["query_response_hit_ids"] == ["d1", "d2", "d3"]
    assert query["client_id"] == event["client_id"] == event["user_id"] == "u1"
    assert query["object_id_field"] == "document_id"
    assert event["action_name"] == "click"
    assert event["session_id"] == "s1"
    assert event["event_attributes"]["object"]["object_id"] == "d3"
    assert event["event_attributes"]["position"] == {"ordinal": 3}


def test_what_others_write_is_read(tmp_path: Path) -> None:
    number = {"object": {"object_id": 7}, "position": {"ordinal": 1}}
    source = put(
        tmp_path / "ubi",
        [QUERY],
        [
            CLICK,
            CLICK,
            {**CLICK, "event_attributes": number},
            {**CLICK, "action_name": "add_to_cart"},
            {**CLICK, "query_id": "unknown"},
            {**CLICK, "event_attributes": {"object": {"object_id": "other"}}},
            {"action_name": "login", "timestamp": "2018-11-13T20:20:39Z"},
        ],
    )
    mapped, imported = read(tmp_path / "new", source)
    assert mapped.left_out == {
        'events "add_to_cart"': 1,
        "clicks on no query of the file": 1,
        "clicks on nothing that the query returned": 1,
        'events "login"': 1,
    }
    assert imported.recorded == {"pages": 1, "clicks": 2}
    assert imported.duplicates["clicks"] == 1  # the same line is the same event
    events = read_events(tmp_path / "new")
    (page,) = events.pages.collect().rows(named=True)
    assert page["page_time"] == datetime(2018, 11, 13, 19, 20, 39, tzinfo=UTC)
    assert page["session_id"] == CLICK["session_id"]
    assert page["user_id"] == QUERY["client_id"]
    assert (page["scores"], page["latency_ms"]) == ([], None)  # UBI tells neither
    clicks = events.clicks.collect().sort("position")
    # The place is that in the list of hits: an ordinal counts other things on the screen too.
    assert clicks["position"].to_list() == [2, 3]
    assert clicks["document_id"].to_list() == ["B013UFPODY", "7"]


def without(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {key: one for key, one in value.items() if key != name}


@pytest.mark.parametrize(
    ("query", "event", "told"),
    [
        (without(QUERY, "query_id"), CLICK, f"{QUERIES} line 2: query_id is null"),
        (without(QUERY, "timestamp"), CLICK, f"{QUERIES} line 2: timestamp is null"),
        ({**QUERY, "timestamp": "yesterday"}, CLICK, f'{QUERIES} line 2: timestamp "yesterday"'),
        ({**QUERY, "query_response_hit_ids": "d1"}, CLICK, f"{QUERIES} line 2: query_response"),
        ({**QUERY, "query_attributes": []}, CLICK, f"{QUERIES} line 2: query_attributes is no"),
        (QUERY, without(CLICK, "action_name"), f"{EVENTS} line 2: action_name is null"),
        (QUERY, {**CLICK, "timestamp": 5}, f"{EVENTS} line 2: timestamp is 5"),
        (QUERY, {**CLICK, "event_attributes": "x"}, f"{EVENTS} line 2: event_attributes is no"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_recorded(
    tmp_path: Path, query: Mapping[str, Any], event: Mapping[str, Any], told: str
) -> None:
    source = put(tmp_path / "ubi", [QUERY, query], [CLICK, event])
    with pytest.raises(InvalidRequest) as refused:
        read(tmp_path / "new", source)
    assert told in str(refused.value)
    assert read_events(tmp_path / "new").pages.collect().is_empty()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "ubi", [QUERY], [CLICK])
    for broken, told in (("{", "is not JSON"), ("[1]", "is no JSON object")):
        (source / EVENTS).write_text(broken)
        with pytest.raises(InvalidRequest, match=told):
            read(tmp_path / "new", source)
    (source / EVENTS).unlink()
    with pytest.raises(NotFound, match=EVENTS):
        read(tmp_path / "new", source)
