"""What is recorded, what counts as a duplicate, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ranklift.events.admission import MAX_DWELL_MS, RecordEvents, RecordPage
from ranklift.events.known import Admitted, Known
from ranklift.events.pending import Malformed, Pending, PendingClick, PendingDwell, Recorded
from ranklift.events.values import Document, Page
from ranklift.v1.errors import InvalidRequest, NotFound, RequestError, Violation

NOW = datetime(2025, 3, 1, 12, 31, tzinfo=UTC)
MakePage = Callable[..., Page]


def click(event_id: str, impression_id: str = "p1", document_id: str = "d2") -> PendingClick:
    return PendingClick(event_id, impression_id, document_id, NOW)


def dwell(event_id: str, click_event_id: str, dwell_ms: int = 30_000) -> PendingDwell:
    return PendingDwell(event_id, click_event_id, dwell_ms)


def admit(known: Known, *events: Pending) -> Admitted:
    return RecordEvents(events).admit(known)


@pytest.fixture
def known(make_page: MakePage) -> Known:
    """The page p1 was recorded, and its click c1."""
    known = Known()
    known.add(RecordPage(make_page("p1"), ()).admit(known).news)
    known.add(admit(known, click("c1")).news)
    return known


def test_a_click_takes_its_position_from_the_page(known: Known) -> None:
    for position, document_id in enumerate(("d1", "d2", "d3"), start=1):
        (row,) = admit(known, click("new", document_id=document_id)).rows
        assert f'"position":{position},' in row.body


def test_events_are_filed_under_the_date_of_their_page(make_page: MakePage) -> None:
    known = Known()
    late = datetime.fromisoformat("2025-03-02T00:30:00+02:00")  # 22:30 the day before, in UTC
    admitted = RecordPage(make_page("p1", page_time=late), ()).admit(known)
    known.add(admitted.news)
    rows = admitted.rows + admit(known, click("c1"), dwell("w1", "c1")).rows
    assert [row.date for row in rows] == ["2025-03-01"] * 3


def test_a_dwell_may_follow_its_click_in_the_same_call_but_not_precede_it(known: Known) -> None:
    assert admit(known, click("c2"), dwell("w2", "c2")).outcome == Recorded(2, 0)
    with pytest.raises(NotFound) as refused:
        admit(known, dwell("w2", "c2"), click("c2"))
    assert [v.field for v in refused.value.violations] == ["events[0].dwell.click_event_id"]


def test_the_first_event_of_an_id_wins_whatever_the_second_one_says(known: Known) -> None:
    again = admit(
        known,
        click("c1", document_id="d3"),
        click("c1", impression_id="nowhere"),
        dwell("c1", "nowhere", -1),
    )
    assert again == Admitted(Known(), (), Recorded(0, 3))
    within = admit(known, click("c2", document_id="d1"), click("c2", document_id="d3"))
    assert within.outcome == Recorded(1, 1)
    assert '"document_id":"d1"' in within.rows[0].body


def test_a_page_is_recorded_once(known: Known, make_page: MakePage) -> None:
    again = RecordPage(make_page("p1", query="another"), (Document("d9", "", "new"),)).admit(known)
    assert again == Admitted(Known(), (), Recorded(0, 1))


def test_page_ids_and_event_ids_do_not_meet(known: Known, make_page: MakePage) -> None:
    assert RecordPage(make_page("c1"), ()).admit(known).outcome == Recorded(1, 0)
    assert admit(known, click("p1")).outcome == Recorded(1, 0)


def test_each_text_of_a_document_is_recorded_once(make_page: MakePage) -> None:
    known = Known()
    old, new = Document("d1", "Wing", "old text"), Document("d1", "Wing", "new text")
    twin = Document("d2", "Wing", "old text")
    for impression_id, documents, recorded in (
        ("p1", (old, old), 1),
        ("p2", (old, twin), 1),
        ("p3", (new, old), 1),
        ("p4", (new, twin), 0),
    ):
        admitted = RecordPage(make_page(impression_id), documents).admit(known)
        known.add(admitted.news)
        assert [row.frame for row in admitted.rows] == ["pages"] + ["documents"] * recorded


@pytest.mark.parametrize(
    ("event", "error", "field", "words"),
    [
        (click("new", impression_id="p2"), NotFound, "click.impression_id", 'no page "p2"'),
        (click("new", document_id="d9"), InvalidRequest, "click.document_id", '"d9" was not shown'),
        (dwell("new", "c9"), NotFound, "dwell.click_event_id", 'no click "c9"'),
        (dwell("new", "c1", -1), InvalidRequest, "dwell.dwell_duration", "-1 ms"),
        (dwell("new", "c1", MAX_DWELL_MS + 1), InvalidRequest, "dwell.dwell_duration", "24 hours"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_wrong(
    known: Known, event: Pending, error: type[RequestError], field: str, words: str
) -> None:
    with pytest.raises(error) as refused:
        admit(known, event)
    assert type(refused.value) is error
    (violation,) = refused.value.violations
    assert violation.field == f"events[0].{field}"
    assert words in violation.description


def test_the_ends_of_the_range_of_a_dwell_are_in_it(known: Known) -> None:
    assert admit(known, dwell("w1", "c1", 0), dwell("w2", "c1", MAX_DWELL_MS)).outcome.recorded == 2


def test_a_refusal_names_every_bad_event_and_admits_none(known: Known) -> None:
    with pytest.raises(InvalidRequest) as refused:
        admit(
            known,
            click("good"),
            click("new", document_id="d9"),
            Malformed((Violation("events[2].event_id", "is empty"),)),
            dwell("w1", "c9", -1),
            click("c1"),
        )
    assert [v.field for v in refused.value.violations] == [
        "events[1].click.document_id",
        "events[2].event_id",
        "events[3].dwell.dwell_duration",
        "events[3].dwell.click_event_id",
    ]
    assert admit(known, click("good")).outcome == Recorded(1, 0)


def test_a_refusal_is_not_found_only_when_nothing_else_is_wrong(known: Known) -> None:
    with pytest.raises(NotFound):
        admit(known, click("a", impression_id="p2"), dwell("b", "c9"))
    with pytest.raises(InvalidRequest):
        admit(known, click("a", impression_id="p2"), click("b", document_id="d9"))
