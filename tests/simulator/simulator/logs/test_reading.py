"""Logs of every format: what good ones say, and the line that is named for a bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ranklift.simulator.logs.reading import LogFormat, read_log
from ranklift.v1.errors import InvalidRequest, NotFound

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "tiangong-demo"


def tiangong(path: Path, *lines: tuple[object, ...]) -> Path:
    text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def page(
    session: int = 1, query: int = 7, documents: str = "[5, 6]", clicks: str = "[0, 1]"
) -> Any:
    return (session, query, documents, "[1, 1]", clicks)


def test_a_tiangong_page_is_a_line(tmp_path: Path) -> None:
    path = tiangong(tmp_path / "log.txt", page(), page(query=8, clicks="[1, 1]"), page(session=2))
    log = read_log(path)
    assert log.pages["session"].to_list() == ["1", "1", "2"]
    assert log.pages["query"].to_list() == ["7", "8", "7"]
    assert log.pages["documents"].to_list() == [["5", "6"]] * 3
    assert log.clicks.select("page", "rank").rows() == [(0, 1), (1, 0), (1, 1), (2, 1)]
    assert not any((log.has_order, log.has_dwell, log.has_users))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the TianGong-ST demo is not at hand")
def test_the_tiangong_demo_is_read_whole() -> None:
    log = read_log(SHARED / "train.txt")
    assert (log.pages.height, log.pages["session"].n_unique()) == (2_872, 1_003)
    assert log.pages["query"].n_unique() == 2_055


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ((1, 7, "[5, 6]", "[0, 1]"), "has 4 fields, must have 5"),
        (page(documents="[5, 6"), "documents are no list"),
        (page(documents="__import__('os')"), "documents are no list"),
        (page(documents='{"5": 6}'), "must be a list in brackets"),
        (page(clicks="[1]"), "has 2 documents and 1 clicks; give one of each"),
        (page(documents="[5]", clicks="[0, 1]"), "has 1 documents and 2 clicks"),
        (page(clicks="[0, 2]"), "has a click 2, must be 0 or 1"),
        (page(documents="[]", clicks="[]"), "shows no document"),
        (("", 7, "[5, 6]", "[1, 1]", "[0, 1]"), "has no session"),
    ],
)
def test_a_bad_tiangong_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    path = tiangong(tmp_path / "log.txt", page(), page(), line)
    with pytest.raises(InvalidRequest) as raised:
        read_log(path, LogFormat.TIANGONG)
    (violation,) = raised.value.violations
    assert violation.field == f"{path}:3"
    assert message in violation.description


def test_a_session_that_comes_back_is_named(tmp_path: Path) -> None:
    path = tiangong(tmp_path / "log.txt", page(1), page(2), page(1))
    with pytest.raises(InvalidRequest, match=r':3: session "1" goes on after another one'):
        read_log(path)


YANDEX = (
    "1\t0\tQ\t7\t9\ta\tb\tc\n1\t5\tC\tb\n1\t6\tC\ta\n1\t7\tC\tb\n1\t9\tQ\t8\t9\tc\td\n1\t10\tC\tc\n"
)


def test_yandex_clicks_belong_to_the_last_page_that_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_text(YANDEX + "1\t11\tC\ta\n2\t0\tQ\t7\t9\ta\tb\n")
    log = read_log(path)
    assert log.pages["session"].to_list() == ["1", "1", "2"]
    assert log.pages["documents"].to_list() == [["a", "b", "c"], ["c", "d"], ["a", "b"]]
    assert log.clicks.select("page", "rank", "nth").rows() == [
        (0, 1, 0),
        (0, 0, 1),
        (0, 1, 2),
        (0, 0, 3),
        (1, 0, 0),
    ]
    assert log.has_order


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t12\tC\tz", 'is a click on "z", which session "1" was not shown'),
        ("1\t12\tX\tz", "is neither a query"),
        ("1\tsoon\tC\ta", 'time "soon", must be a whole number'),
        ("1\t3\tC\ta", "time 3 is before 10"),
        ("1\t12\tQ\t7\t9", "shows no document"),
        ("1\t12\tC\ta\tb", "is a click of 5 fields"),
        ("3\t0\tC\ta", 'which session "3" was not shown'),
    ],
)
def test_a_bad_yandex_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "log.tsv"
    path.write_text(YANDEX + line + "\n")
    with pytest.raises(InvalidRequest) as raised:
        read_log(path)
    (violation,) = raised.value.violations
    assert violation.field == f"{path}:7"
    assert message in violation.description


def ubi(folder: Path, queries: list[dict[str, Any]], events: list[dict[str, Any]]) -> Path:
    for name, lines in (("ubi_queries.jsonl", queries), ("ubi_events.jsonl", events)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def asked(query_id: str, minute: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "user_query": "shoes",
        "client_id": "u1",
        "timestamp": (NOON + timedelta(minutes=minute)).isoformat(),
        "query_response_hit_ids": ["a", 2],
        **fields,
    }


def clicked(query_id: str, document: Any, second: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "action_name": "click",
        "query_id": query_id,
        "timestamp": (NOON + timedelta(seconds=second)).isoformat(),
        "event_attributes": {"object": {"object_id": document}},
        **fields,
    }


def test_ubi_queries_are_pages(tmp_path: Path) -> None:
    queries = [asked("q2", 5), asked("q1", 1, client_id="u1"), asked("q3", 2, client_id="")]
    events = [
        clicked("q1", "2", 9),
        clicked("q1", "a", 3),
        clicked("q1", "a", 1, action_name="scroll", event_attributes={}),
    ]
    log = read_log(ubi(tmp_path, queries, events))
    assert log.pages["user"].to_list() == ["u1", "u1", None]
    assert log.pages["time"].to_list()[:2] == [
        NOON + timedelta(minutes=1),
        NOON + timedelta(minutes=5),
    ]
    assert log.clicks.select("page", "rank", "nth").rows() == [(0, 0, 0), (0, 1, 1)]


@pytest.mark.parametrize(
    ("queries", "events", "at", "message"),
    [
        ([asked("q1")], [clicked("q1", "z")], "ubi_events.jsonl:1", 'click on "z", which'),
        ([asked("q1")], [clicked("q9", "a")], "ubi_events.jsonl:1", '"q9" is not in ubi_queries'),
        ([asked("q1"), asked("q1")], [], "ubi_queries.jsonl:2", "is there twice"),
        ([asked("q1", timestamp="noon")], [], "ubi_queries.jsonl:1", "must be ISO 8601"),
        ([asked("q1", query_response_hit_ids="a")], [], "ubi_queries.jsonl:1", "must be the list"),
        ([asked("q1", user_query="")], [], "ubi_queries.jsonl:1", "user_query is ''"),
        ([asked("q1")], [clicked("q1", None)], "ubi_events.jsonl:1", "object_id"),
    ],
)
def test_a_bad_ubi_line_is_named(
    tmp_path: Path,
    queries: list[dict[str, Any]],
    events: list[dict[str, Any]],
    at: str,
    message: str,
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_log(ubi(tmp_path, queries, events))
    (violation,) = raised.value.violations
    assert violation.field.endswith(at)
    assert message in violation.description


Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Writes a log as ranklift exports it; clicks are (page, document, position)."""

    def write(clicks: list[tuple[str, str, int]], documents: list[list[str]] | None = None) -> Path:
        shown = documents or [["a", "b"], ["b", "c"]]
        names = [f"p{n}" for n in range(len(shown))]
        pages = pl.DataFrame(
            {
                "impression_id": names,
                "page_time": [NOON + timedelta(minutes=n) for n in range(len(shown))],
                "user_id": ["u1"] * len(shown),
                "session_id": ["s1"] * len(shown),
                "query": ["shoes"] * len(shown),
                "documents": shown,
            }
        )
        events = pl.DataFrame(
            [
                (f"c{n}", page_, document, position, NOON + timedelta(seconds=n))
                for n, (page_, document, position) in enumerate(clicks)
            ],
            schema={
                "event_id": pl.String,
                "impression_id": pl.String,
                "document_id": pl.String,
                "position": pl.Int32,
                "click_time": pl.Datetime("us", "UTC"),
            },
            orient="row",
        )
        dwells = pl.DataFrame({"click_event_id": ["c0"], "dwell_ms": [31_000], "censored": [True]})
        for frame, table in (("pages", pages), ("clicks", events), ("dwells", dwells)):
            folder = tmp_path / frame / "date=2025-03-01"
            folder.mkdir(parents=True)
            table.write_parquet(folder / "part-0.parquet")
        return tmp_path

    return write


def test_an_export_is_read_with_order_dwell_and_users(export: Export) -> None:
    log = read_log(export([("p0", "b", 2), ("p1", "b", 1), ("p0", "a", 1)]))
    assert log.clicks.rows() == [
        (0, 1, 0, NOON, 31.0, True),
        (0, 0, 1, NOON + timedelta(seconds=2), None, False),
        (1, 0, 0, NOON + timedelta(seconds=1), None, False),
    ]
    assert log.has_order
    assert log.has_dwell
    assert log.has_users


@pytest.mark.parametrize(
    ("clicks", "row", "message"),
    [
        (
            [("p0", "a", 1), ("p0", "z", 1)],
            1,
            "is a click on a document that its page did not show",
        ),
        ([("p0", "a", 1), ("p9", "a", 1)], 1, "is a click on a page that the log does not have"),
        ([("p0", "a", 1), ("p1", "b", 0)], 1, "counts from 0, others of the log count from 1"),
        ([("p0", "a", 0), ("p1", "c", 1)], 0, "counts from 0; count them from 1"),
        ([("p0", "a", 5)], 0, "has a position at which its page did not show the document"),
    ],
)
def test_a_bad_row_of_an_export_is_named(
    export: Export, clicks: list[tuple[str, str, int]], row: int, message: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_log(export(clicks))
    (violation,) = raised.value.violations
    assert violation.field.endswith(f"clicks/date=2025-03-01/part-0.parquet row {row}")
    assert message in violation.description


def test_a_page_that_shows_a_document_twice_is_named(export: Export) -> None:
    with pytest.raises(InvalidRequest, match=r"pages/.*row 1: shows a document twice"):
        read_log(export([], [["a", "b"], ["b", "b"]]))


def test_a_column_that_is_missing_is_named(export: Export) -> None:
    folder = export([("p0", "a", 1)])
    path = folder / "clicks" / "date=2025-03-01" / "part-0.parquet"
    pl.read_parquet(path).drop("position").write_parquet(path)
    with pytest.raises(InvalidRequest, match='column "position" is missing, must be Int32'):
        read_log(folder)


def test_no_sessions_are_no_log(tmp_path: Path, export: Export) -> None:
    for name in (LogFormat.TIANGONG, LogFormat.YANDEX):
        empty = tmp_path / f"{name}.txt"
        empty.write_text("\n")
        with pytest.raises(InvalidRequest, match="holds no session"):
            read_log(empty, name)
    with pytest.raises(InvalidRequest, match="holds no session"):
        read_log(ubi(tmp_path, [], []), LogFormat.UBI)
    with pytest.raises(InvalidRequest, match="holds no session"):
        read_log(tmp_path, LogFormat.RANKLIFT)


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is nothing at"):
        read_log(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(InvalidRequest, match="is in no format that is known"):
        read_log(tmp_path / "notes.txt")
    with pytest.raises(InvalidRequest, match="is in no format that is known"):
        read_log(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\t\t[\t\n")
    with pytest.raises(InvalidRequest, match="is not text in UTF-8"):
        read_log(tmp_path / "binary", LogFormat.TIANGONG)
    with pytest.raises(NotFound, match=r"ubi_queries\.jsonl is missing"):
        read_log(tmp_path, LogFormat.UBI)
