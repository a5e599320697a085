"""Whatever is recorded, repeated, exported and re-opened, in any order: the log equals a dict."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.events.pending import Pending, PendingClick, PendingDwell, Recorded
from ranklift.events.values import Document, Page
from ranklift.v1.errors import RequestError

T0 = datetime(2025, 3, 1, 23, 59, tzinfo=UTC)
# Few, so that they meet; and not all of them tame.
PAGE_IDS = st.sampled_from(["p", "q", "a\0b", "a", "💡"])
EVENT_IDS = st.sampled_from(["1", "2", "3", "4\0", "p", "é"])
DOCUMENT_IDS = st.sampled_from(["d1", "d2", "d2\0", "absent"])

clicks = st.builds(PendingClick, EVENT_IDS, PAGE_IDS, DOCUMENT_IDS, st.just(T0))
dwells = st.builds(
    PendingDwell, EVENT_IDS, EVENT_IDS, st.sampled_from([0, 1, 86_400_000, -1]), st.booleans()
)


class Model:
    """What the log must hold, by id, and the rules in their plainest form."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.documents: set[tuple[str, str, str]] = set()
        self.clicks: dict[str, tuple[str, str, int]] = {}
        self.dwells: dict[str, tuple[str, str, str, int, bool]] = {}

    def record_page(self, page: Page, documents: list[Document]) -> None:
        if page.impression_id not in self.pages:
            self.pages[page.impression_id] = page
            self.documents |= {(d.document_id, d.title, d.text) for d in documents}

    def record_events(self, events: list[Pending]) -> Recorded | set[int]:
        """Return the outcome, or the places of the bad events."""
        clicks, dwells = dict(self.clicks), dict(self.dwells)
        bad: set[int] = set()
        duplicates = 0
        for place, event in enumerate(events):
            match event:
                case PendingClick(event_id) | PendingDwell(event_id) if (
                    event_id in clicks or event_id in dwells
                ):
                    duplicates += 1
                case PendingClick(event_id, impression_id, document_id):
                    page = self.pages.get(impression_id)
                    if page is None or document_id not in page.documents:
                        bad.add(place)
                    else:
                        position = page.documents.index(document_id) + 1
                        clicks[event_id] = (impression_id, document_id, position)
                case PendingDwell(event_id, click_id, milliseconds, censored):
                    if click_id not in clicks or milliseconds < 0:
                        bad.add(place)
                    else:
                        shown = clicks[click_id][:2]
                        dwells[event_id] = (click_id, *shown, milliseconds, censored)
        if bad:
            return bad
        self.clicks, self.dwells = clicks, dwells
        return Recorded(len(events) - duplicates, duplicates)


class Contract(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Path(self.folder.name)
        self.runner = asyncio.Runner()
        self.log = self.runner.run(EventLog.open(self.home))

    @rule(
        impression_id=PAGE_IDS,
        day=st.integers(0, 2),
        shown=st.lists(DOCUMENT_IDS.filter(lambda i: i != "absent"), unique=True),
        text=st.sampled_from(["", "x", "a longer text"]),
    )
    def record_page(self, impression_id: str, day: int, shown: list[str], text: str) -> None:
        page = Page(
            impression_id=impression_id,
            page_time=T0 + timedelta(days=day),
            user_id="u",
            session_id="s",
            query=text,
            documents=tuple(shown),
            scores=tuple(-1.0 for _ in shown),
            model="m",
            version="1",
            digest="sha256:0",
            assignments=(),
            fallback_reason="",
            latency_ms=1.0,
        )
        documents = [Document(document_id, "title", text) for document_id in shown]
        self.runner.run(self.log.record_page(page, documents))
        self.model.record_page(page, documents)

    @rule(events=st.lists(st.one_of(clicks, dwells), min_size=1, max_size=4))
    def record_events(self, events: list[Pending]) -> None:
        expected = self.model.record_events(events)
        outcome: Recorded | set[int]
        try:
            outcome = self.runner.run(self.log.record_events(events))
        except RequestError as error:
            outcome = {int(v.field.split("[")[1].split("]")[0]) for v in error.violations}
        assert outcome == expected

    @rule()
    def export(self) -> None:
        self.runner.run(self.log.export())

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.log.close())
        self.log = self.runner.run(EventLog.open(self.home))

    @invariant()
    def the_frames_hold_the_model(self) -> None:
        frames = read_events(self.home)
        pages = frames.pages.select("impression_id", "page_time", "query", "documents").collect()
        assert sorted(pages.rows()) == sorted(
            (p.impression_id, p.page_time, p.query, list(p.documents))
            for p in self.model.pages.values()
        )
        clicks = frames.clicks.select("event_id", "impression_id", "document_id", "position")
        assert sorted(clicks.collect().rows()) == sorted(
            (event_id, *click) for event_id, click in self.model.clicks.items()
        )
        assert sorted(frames.dwells.collect().rows()) == sorted(
            (event_id, *dwell) for event_id, dwell in self.model.dwells.items()
        )
        documents = frames.documents.select("document_id", "title", "text").collect().rows()
        assert sorted(documents) == sorted(self.model.documents)

    def teardown(self) -> None:
        self.runner.run(self.log.close())
        self.runner.close()
        self.folder.cleanup()


Contract.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, derandomize=True
)
TestContract = Contract.TestCase
