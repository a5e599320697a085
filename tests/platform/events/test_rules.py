"""Each event ends in one rule, and the counts add up to what was sent."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.events.admission import RecordEvents, RecordPage
from ranklift.events.archive import read_archive, write_archive
from ranklift.events.files import LocalFiles
from ranklift.events.forgetting import forget
from ranklift.events.frames import read_events
from ranklift.events.journal import FOLDER_NAME, Journal
from ranklift.events.known import Known
from ranklift.events.ledger import Ledger, read_counts
from ranklift.events.log import EventLog, open_journal
from ranklift.events.pending import Malformed, Pending, PendingClick, PendingDwell, Recorded
from ranklift.events.rules import CLOCK_TOLERANCE, MAX_CLICKS_OF_PAGE, Rule
from ranklift.events.values import Page
from ranklift.v1.errors import InvalidRequest, NotFound, RequestError, Violation

MakePage = Callable[..., Page]
NOW = datetime(2025, 3, 1, 12, 31, tzinfo=UTC)  # the page p1 is of this day
DAY_BEGAN = datetime(2025, 3, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def click(
    event_id: str, impression_id: str = "p1", document_id: str = "d2", at: datetime = NOW
) -> PendingClick:
    return PendingClick(event_id, impression_id, document_id, at)


def judged(known: Known, *events: Pending, ledger: Ledger | None = None) -> dict[str, int]:
    """The counts of a batch of which what is good is recorded."""
    ledger = ledger or Ledger()
    ledger.begin()
    known.add(RecordEvents(events, False, NOW, ledger).admit(known).news)
    before = Counter(ledger.totals)
    ledger.committed()
    return dict(ledger.totals - before)


@pytest.fixture
def known(make_page: MakePage) -> Known:
    """The page p1 was recorded, and its click c1."""
    known = Known()
    known.add(RecordPage(make_page("p1"), ()).admit(known).news)
    judged(known, click("c1"))
    return known


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (click("x"), "accepted"),
        (click("x", at=NOW + CLOCK_TOLERANCE), "accepted"),
        (click("x", at=NOW + CLOCK_TOLERANCE + MOMENT), "clock_skewed"),
        (click("x", at=DAY_BEGAN - CLOCK_TOLERANCE), "accepted"),
        (click("x", at=DAY_BEGAN - CLOCK_TOLERANCE - MOMENT), "clock_skewed"),
        (click("x", at=datetime.min.replace(tzinfo=UTC)), "clock_skewed"),
        (PendingDwell("x", "c1", 1), "accepted"),
        (click("c1"), "duplicate"),
        (click("c1", "nowhere"), "duplicate"),
        (click("x", "nowhere"), "unknown_page"),
        (click("x", document_id="d9"), "not_shown"),
        (PendingDwell("x", "nothing", 1), "unknown_click"),
        (PendingDwell("x", "c1", -1), "malformed"),
        (PendingDwell("x", "nothing", -1), "malformed"),
        (click("\ud800"), "malformed"),
        (Malformed((Violation("a", "b"), Violation("c", "d"))), "malformed"),
    ],
)
def test_one_event_one_rule(known: Known, event: Pending, rule: str) -> None:
    assert judged(known, event) == {rule: 1}


def test_clicks_beyond_a_person_go_to_quarantine_and_their_dwells_with_them(known: Known) -> None:
    ledger = Ledger()
    first = [click(f"a{n}") for n in range(MAX_CLICKS_OF_PAGE - 1)]
    assert judged(known, *first, ledger=ledger) == {"accepted": MAX_CLICKS_OF_PAGE - 1}
    more: list[Pending] = [
        click("b0"),
        click("b1"),
        PendingDwell("w0", "b0", 1),
        PendingDwell("w1", "b1", 1),
    ]
    assert judged(known, *more, ledger=ledger) == {
        "accepted": 2,
        "bot_like": 1,
        "quarantined_click": 1,
    }
    assert judged(known, PendingDwell("w2", "b1", 1), click("b1"), ledger=ledger) == {
        "quarantined_click": 1,
        "duplicate": 1,
    }


def test_clicks_of_refused_and_failed_calls_do_not_make_a_bot(known: Known) -> None:
    ledger = Ledger()
    many = tuple(click(f"a{n}") for n in range(MAX_CLICKS_OF_PAGE))
    with pytest.raises(NotFound):
        RecordEvents((*many, click("x", "nowhere")), True, NOW, ledger).admit(known)
    ledger.committed()
    assert ledger.totals == {"refused_with_others": MAX_CLICKS_OF_PAGE, "unknown_page": 1}
    ledger.begin()
    RecordEvents(many, True, NOW, ledger).admit(known)
    ledger.begin()  # the disk was full
    assert judged(known, *many, ledger=ledger) == {"accepted": MAX_CLICKS_OF_PAGE}


TIMES = st.sampled_from([NOW, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
IDS = st.sampled_from(["1", "2", "3", "4", "\ud800"])
EVENTS: st.SearchStrategy[Pending] = st.one_of(
    st.builds(
        PendingClick, IDS, st.sampled_from(["p1", "p9"]), st.sampled_from(["d1", "d9"]), TIMES
    ),
    st.builds(PendingDwell, IDS, IDS, st.sampled_from([-1, 0, 1])),
    st.just(Malformed((Violation("events[0]", "is bad"),))),
)


@given(batches=st.lists(st.tuples(st.lists(EVENTS, max_size=8), st.booleans()), max_size=4))
def test_the_counts_add_up_to_what_was_sent(
    batches: list[tuple[list[Pending], bool]],
) -> None:
    page = Page("p1", NOW, "u", "s", "", ("d1",), (1.0,), "m", "1", "", (), "", 1.0)
    known, ledger = Known(), Ledger()
    known.add(RecordPage(page, ()).admit(known).news)
    recorded = duplicates = 0
    for events, whole in batches:
        ledger.begin()
        before = ledger.totals.total()
        try:
            admitted = RecordEvents(tuple(events), whole, NOW, ledger).admit(known)
        except RequestError:
            assert whole
        else:
            known.add(admitted.news)
            recorded += admitted.outcome.recorded
            duplicates += admitted.outcome.duplicates
        ledger.committed()
        assert ledger.totals.total() - before == len(events)
    assert ledger.totals["accepted"] + ledger.totals["clock_skewed"] == recorded
    assert ledger.totals["duplicate"] >= duplicates  # those of refused calls are told to nobody
    assert ledger.totals.keys() <= set(Rule)


def test_counts_and_quarantine_are_on_disk_and_outlive_the_process(
    tmp_path: Path, make_page: MakePage
) -> None:
    many = [click(f"c{n}") for n in range(MAX_CLICKS_OF_PAGE + 2)]

    async def first() -> None:
        async with await EventLog.open(tmp_path, now=lambda: NOW) as log:
            await log.record_page(make_page("p1"), [])
            assert await log.record_events([*many, PendingDwell("w", many[-1].event_id, 9)]) == (
                Recorded(103, 0)
            )
            with pytest.raises(InvalidRequest):
                await log.record_events([click("x"), click("y", document_id="d9")])
            await log.export()
            assert log.counts["bot_like"] == 2

    async def second() -> None:
        async with await EventLog.open(tmp_path, now=lambda: NOW + timedelta(days=1)) as log:
            assert await log.record_events(many) == Recorded(0, len(many))  # all sent again
            assert log.counts == {"duplicate": len(many)}

    asyncio.run(first())
    asyncio.run(second())
    assert read_counts(tmp_path / FOLDER_NAME) == {
        ("2025-03-01", "accepted"): 100,
        ("2025-03-01", "bot_like"): 2,
        ("2025-03-01", "not_shown"): 1,
        ("2025-03-01", "quarantined_click"): 1,
        ("2025-03-01", "refused_with_others"): 1,
        ("2025-03-02", "duplicate"): len(many),
    }
    frames = read_events(tmp_path)
    assert frames.clicks.collect().height == 100
    assert frames.dwells.collect().is_empty()
    apart = frames.quarantine.sort("event_id").collect()
    assert apart.drop("body").rows() == [
        ("c100", "click", "p1", "d2", NOW, "bot_like"),
        ("c101", "click", "p1", "d2", NOW, "bot_like"),
        ("w", "dwell", "p1", "", NOW, "quarantined_click"),
    ]
    assert json.loads(apart["body"][2])["dwell_ms"] == 9


def test_counts_go_with_their_transaction(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    ledger = Ledger()
    ledger.add({"accepted": 3}, {})

    def fail() -> None:
        with journal.transaction():
            ledger.write(journal.connection, NOW)
            journal.connection.execute("no statement")

    with pytest.raises(sqlite3.OperationalError):
        fail()
    assert read_counts(tmp_path) == {}
    for _ in range(2):
        ledger.begin()
        ledger.add({"accepted": 3}, {})
        with journal.transaction():
            ledger.write(journal.connection, NOW)
        ledger.committed()
    journal.close()
    assert read_counts(tmp_path) == {("2025-03-01", "accepted"): 6}


def test_quarantine_is_exported_and_goes_with_its_unit(tmp_path: Path, make_page: MakePage) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / FOLDER_NAME

    async def scenario() -> None:
        async with await EventLog.open(home, now=lambda: NOW) as log:
            await log.record_page(make_page("p1"), [])
            await log.record_events([click(f"c{n}") for n in range(MAX_CLICKS_OF_PAGE + 2)])
            await log.export()
            await log.record_events([click("last")])

    asyncio.run(scenario())
    files, archive = LocalFiles(folder), LocalFiles(tmp_path / "archive")
    assert write_archive(folder, files, archive)["quarantine"] == 3
    other = tmp_path / "other"
    open_journal(other, LocalFiles(other)).close()
    assert read_archive(other, LocalFiles(other), archive, lambda: NOW).recorded["quarantine"] == 3
    assert forget(folder, files, "u1", lambda: NOW)["quarantine"] == 3
    assert read_events(home).quarantine.collect().is_empty()
