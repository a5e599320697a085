"""A record comes back from its row exactly, with the types of docs/architecture.md."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.events.rows import (
    SCHEMAS,
    click_row,
    decode,
    document_digest,
    document_row,
    dwell_row,
    page_row,
)
from ranklift.events.values import Click, Document, Dwell, Page, PageAssignment
from ranklift.v1.errors import InvalidRequest

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"
TYPES: dict[str, pl.DataType] = {
    "str": pl.String(),
    "i32": pl.Int32(),
    "i64": pl.Int64(),
    "f64": pl.Float64(),
    "bool": pl.Boolean(),
    "datetime[us, UTC]": pl.Datetime("us", "UTC"),
}

instants = st.datetimes(timezones=st.just(UTC))
finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
assignments = st.builds(
    PageAssignment, texts, st.integers(1, 2**63 - 1), texts, texts, texts, st.integers(0, 9_999)
)
pages = st.builds(
    Page,
    *[texts, instants, texts, texts, texts],
    st.lists(texts, max_size=4).map(tuple),
    st.lists(finite, max_size=4).map(tuple),
    *[texts, texts, texts],
    st.lists(assignments, max_size=3).map(tuple),
    *[texts, finite],
)


def documented(frame: str) -> dict[str, pl.DataType]:
    """Return the columns that the table in docs/architecture.md gives a frame."""
    (line,) = re.findall(rf"^\| {frame} \| (.*) \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    return columns(line)


def columns(text: str) -> dict[str, pl.DataType]:
    """Return the columns of "`name` type, `name` type (remark), ...": types may hold columns."""
    found: dict[str, pl.DataType] = {}
    for part in re.split(r", (?=`)(?![^{]*\})", text):
        name, _, dtype = part.removeprefix("`").partition("` ")
        found[name] = data_type(dtype)
    return found


def data_type(text: str) -> pl.DataType:
    text = re.sub(r" \(.*\)$", "", text)
    if text.startswith("list["):
        return pl.List(data_type(text[5:-1]))
    if text.startswith("struct{"):
        return pl.Struct(columns(text[7:-1]))
    return TYPES[text]


@pytest.mark.parametrize("frame", SCHEMAS)
def test_the_schemas_are_those_of_the_architecture(frame: str) -> None:
    expected = documented(frame)
    assert len(expected) >= 4
    assert list({f: s for f, s in SCHEMAS.items() if f == frame}.values()) == [pl.Schema(expected)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(pages, min_size=1, max_size=3))
def test_pages_come_back_exactly(recorded: list[Page]) -> None:
    frame = decode("pages", [page_row(page).body for page in recorded])
    assert frame.schema == SCHEMAS["pages"]
    for page, row in zip(recorded, frame.to_dicts(), strict=True):
        expected = asdict(page)
        assert row.pop("page_time") == expected["page_time"]
        # repr tells -0.0 from 0.0.
        for name, value in row.items():
            kept = expected[name]
            assert repr(value) == repr(list(kept) if isinstance(kept, tuple) else kept)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts, texts, texts, st.integers(1, 2**31 - 1), instants)
def test_clicks_dwells_and_documents_come_back_exactly(
    one: str, two: str, three: str, number: int, instant: datetime
) -> None:
    click = Click(one, two, three, number, instant)
    dwell = Dwell(one, two, three, one, number, number % 2 == 0)
    document = Document(one, two, three)
    assert decode("clicks", [click_row(click, "").body]).to_dicts() == [asdict(click)]
    assert decode("dwells", [dwell_row(dwell, "").body]).to_dicts() == [asdict(dwell)]
    expected = {**asdict(document), "digest": "sha256:1"}
    assert decode("documents", [document_row(document, "sha256:1", "").body]).to_dicts() == [
        expected
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": (math.nan,)},
        {"scores": (0.0, math.inf)},
        {"latency_ms": -math.inf},
        {"query": "half a pair: \ud800"},
    ],
)
def test_what_could_not_be_read_back_is_refused(
    make_page: Callable[..., Page], changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be recorded"):
        page_row(make_page("p1", **changes))


def test_a_document_digest_depends_on_where_the_title_ends() -> None:
    digests = {document_digest(Document("d", "ab"[:cut], "ab"[cut:] + "c")) for cut in range(3)}
    assert len(digests) == 3
    # printf '0:abc' | sha256sum
    assert document_digest(Document("any", "", "abc")) == (
        "sha256:af933b62650d045f4df869152e91baeed9bda67fe73e026167ff1ad5b66bbf6f"
    )
