"""Whether a call is recorded: the rules, as pure functions of what the journal knows.

- A page is recorded once by `impression_id`, an event once by `event_id`. A second one is a
  duplicate and changes nothing, whatever it says: the first wins.
- A click belongs to a known page and to a document shown on it; the page says the position.
- A dwell belongs to a known click, which may stand earlier in the same call.
- Pages take clicks, and clicks take dwells, for `HORIZON` after they were recorded. Duplicates
  are recognised for ever.
- A time that cannot be is replaced by the server's, and more clicks on one page than a person
  makes go to quarantine, as do their dwells: `rules.py`.
- The events of a call are recorded all or none. A refusal names every bad event; it is an
  `InvalidRequest` as soon as one of them could never be right, otherwise a `NotFound`. A batch of
  a stream keeps the bad events out, names them, and records the others.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from ranklift.events.known import (
    HORIZON,
    QUARANTINED,
    Admitted,
    Clicked,
    Known,
    Mentions,
    Shown,
    identity,
)
from ranklift.events.ledger import Ledger
from ranklift.events.pending import Malformed, Pending, PendingClick, PendingDwell, Recorded
from ranklift.events.recent import RecentDocuments
from ranklift.events.rows import (
    Row,
    click_row,
    date_of,
    document_digest,
    document_row,
    dwell_row,
    page_row,
    quarantine_row,
)
from ranklift.events.rules import MAX_CLICKS_OF_PAGE, REFUSALS, Rule, earliest_click, latest_click
from ranklift.events.values import Click, Document, Dwell, Page
from ranklift.v1.errors import InvalidRequest, NotFound, Violation
from ranklift.v1.requests import Texts

MAX_DWELL_MS = 24 * 60 * 60 * 1_000
_EVENT_BYTES = 500  # about, as Python objects


@dataclass(frozen=True)
class RecordPage:
    """A page to record, with the documents that were offered for it."""

    page: Page
    documents: tuple[Document, ...]

    @property
    def weight(self) -> int:
        return 1 + len(self.documents)

    @property
    def size(self) -> int:
        return sum(len(document.title) + len(document.text) for document in self.documents)

    @cached_property
    def _documents(self) -> Sequence[tuple[bytes, str, Document]]:
        digests = [document_digest(document) for document in self.documents]
        return [
            (identity("document", digest + document.document_id), digest, document)
            for digest, document in zip(digests, self.documents, strict=True)
        ]

    @cached_property
    def _row(self) -> Row:
        return page_row(self.page)

    def prepare(self) -> None:
        """Do now what does not depend on what is known; raises as `admit`."""
        self._row  # noqa: B018
        self._documents  # noqa: B018

    def mention(self, mentions: Mentions) -> None:
        """Add what must be known to judge the page."""
        mentions.seen.add(identity("page", self.page.impression_id))
        mentions.seen.update(key for key, _, _ in self._documents)

    def admit(self, known: Known) -> Admitted:
        """Return what the page adds: itself, and the documents never met before.

        Raises:
            InvalidRequest: a value that cannot be kept, e.g. a score that is not finite.
        """
        key = identity("page", self.page.impression_id)
        if key in known.seen:
            return Admitted(Known(), (), Recorded(0, duplicates=1))
        date = date_of(self.page)
        news = Known(seen={key}, shown={key: Shown(date, self.page.documents)})
        rows = [self._row]
        for document_key, digest, document in self._documents:
            if document_key not in known.seen and document_key not in news.seen:
                news.seen.add(document_key)
                rows.append(document_row(document, digest, date))
        return Admitted(news, tuple(rows), Recorded(1, duplicates=0))


@dataclass(frozen=True)
class RecordPageOf:
    """A page to record that is made of other values when there is time for it.

    `recent` are documents that need not be looked at again.
    """

    make: Callable[[], tuple[Page, Sequence[Texts]]]
    weight: int
    size: int
    recent: RecentDocuments

    @cached_property
    def _made(self) -> RecordPage:
        page, documents = self.make()
        others = self.recent.others(documents)
        return RecordPage(page, tuple(Document(*texts) for texts in others))

    def prepare(self) -> None:
        """Do now what does not depend on what is known."""
        with contextlib.suppress(Exception):  # the writer meets it too, and tells the caller
            self._made.prepare()

    def mention(self, mentions: Mentions) -> None:
        """Add what must be known to judge the page."""
        self._made.mention(mentions)

    def admit(self, known: Known) -> Admitted:
        """Return what the page adds; raises as `RecordPage.admit`."""
        return self._made.admit(known)

    def settle(self, outcome: Future[Recorded]) -> None:
        """Remember the documents if they are on disk now; a duplicate page adds none."""
        if not outcome.exception() and outcome.result().recorded:
            documents = self._made.documents
            self.recent.add((one.document_id, one.title, one.text) for one in documents)


@dataclass(frozen=True)
class RecordEvents:
    """Events that came `now` to record, all or none; with `whole` false, those that are good.

    `ledger` is told what became of them, whether the call is refused or not.
    """

    events: tuple[Pending, ...]
    whole: bool = True
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def weight(self) -> int:
        return len(self.events)

    @property
    def size(self) -> int:
        return _EVENT_BYTES * len(self.events)

    def mention(self, mentions: Mentions) -> None:
        """Add what must be known to judge the events."""
        for event, (key, of) in zip(self.events, self._keys, strict=True):
            if isinstance(event, Malformed):
                continue
            mentions.seen.add(key)
            (mentions.shown if isinstance(event, PendingClick) else mentions.clicked).add(of)

    def admit(self, known: Known) -> Admitted:
        """Return what the events add.

        Raises:
            InvalidRequest: a malformed event, a document that the page did not show, a dwell
                outside [0, `MAX_DWELL_MS`].
            NotFound: a page or a click that is not known, or no longer open.
        """
        batch = _Batch(known, self.now, latest_click(self.now), self.ledger)
        for index, (event, (key, of)) in enumerate(zip(self.events, self._keys, strict=True)):
            if isinstance(event, PendingClick):
                batch.click(index, event, key, of)
            elif isinstance(event, PendingDwell):
                batch.dwell(index, event, key, of)
            else:
                batch.wrong(Rule.MALFORMED, *event.violations)
        refused = bool(batch.violations) and self.whole
        self.ledger.add(batch.counts(refused), {} if refused else batch.clicks)
        if refused:
            raise (InvalidRequest if batch.invalid else NotFound)(batch.violations)
        outcome = Recorded(len(batch.rows), batch.duplicates, tuple(batch.violations))
        return Admitted(batch.news, tuple(batch.rows), outcome)

    @cached_property
    def _keys(self) -> Sequence[tuple[bytes, bytes]]:
        """The identities of each event, and of the page or click that it belongs to."""
        pages: dict[str, bytes] = {}
        events: dict[str, bytes] = {}  # a dwell often stands behind its click
        keys = []
        for event in self.events:
            if isinstance(event, Malformed):
                keys.append((b"", b""))
                continue
            key = events[event.event_id] = identity("event", event.event_id)
            if isinstance(event, PendingClick):
                name = event.impression_id
                of = pages.get(name) or pages.setdefault(name, identity("page", name))
            else:
                of = events.get(event.click_event_id) or identity("event", event.click_event_id)
            keys.append((key, of))
        return keys


@dataclass(slots=True)
class _Batch:
    """The events of one call as they are judged one after the other."""

    known: Known
    now: datetime
    latest: datetime
    ledger: Ledger
    news: Known = field(default_factory=Known)
    rows: list[Row] = field(default_factory=list)
    duplicates: int = 0
    violations: list[Violation] = field(default_factory=list)
    invalid: bool = False
    # Events by rule, but for duplicates and accepted ones: these are what is left.
    rules: Counter[str] = field(default_factory=Counter)
    clicks: dict[bytes, int] = field(default_factory=dict)  # by page, earlier ones included

    def counts(self, refused: bool) -> Counter[str]:
        """Return the events by rule; of a refused call, the good ones are refused with others."""
        counts = Counter({Rule.DUPLICATE: self.duplicates}) + self.rules
        marked = [rule for rule in self.rules if rule not in REFUSALS]
        if refused:
            for rule in marked:
                del counts[rule]
            counts[Rule.REFUSED_WITH_OTHERS] = len(self.rows)
        else:
            counts[Rule.ACCEPTED] = len(self.rows) - sum(self.rules[rule] for rule in marked)
        return +counts

    def click(self, index: int, event: PendingClick, key: bytes, page_key: bytes) -> None:
        if self._is_duplicate(key):
            return
        page = self.known.shown.get(page_key)
        if page is None:
            self._missing(
                Rule.UNKNOWN_PAGE,
                f"events[{index}].click.impression_id",
                f'no page "{event.impression_id}" was recorded in the last {HORIZON.days} days; '
                "send the impression_id of a reply, in time",
            )
            return
        if event.document_id not in page.documents:
            self.wrong(
                Rule.NOT_SHOWN,
                Violation(
                    f"events[{index}].click.document_id",
                    f'"{event.document_id}" was not shown on page "{event.impression_id}"; '
                    "send the id of a document in its results",
                ),
            )
            return
        click_time, skewed = event.click_time, False
        if not earliest_click(page.date) <= click_time <= self.latest:
            click_time, skewed = self.now, True
        click = Click(
            event_id=event.event_id,
            impression_id=event.impression_id,
            document_id=event.document_id,
            position=page.documents.index(event.document_id) + 1,
            click_time=click_time,
        )
        taken = self.clicks.get(page_key) or self.ledger.clicks(page_key)
        bot_like = taken >= MAX_CLICKS_OF_PAGE
        rule = Rule.BOT_LIKE if bot_like else Rule.CLOCK_SKEWED if skewed else Rule.ACCEPTED
        if not self._add(index, key, click, page.date, rule):
            return
        self.clicks[page_key] = taken + 1
        self.news.clicked[key] = Clicked(
            page.date, event.impression_id, QUARANTINED if bot_like else event.document_id
        )

    def dwell(self, index: int, event: PendingDwell, key: bytes, clicked_key: bytes) -> None:
        if self._is_duplicate(key):
            return
        in_range = 0 <= event.dwell_ms <= MAX_DWELL_MS
        if not in_range:
            self.wrong(
                Rule.MALFORMED,
                Violation(
                    f"events[{index}].dwell.dwell_duration",
                    f"{event.dwell_ms} ms given; must be 0 to {MAX_DWELL_MS} ms (24 hours)",
                ),
            )
        click = self.news.clicked.get(clicked_key) or self.known.clicked.get(clicked_key)
        if click is None:
            self._missing(
                Rule.UNKNOWN_CLICK if in_range else None,
                f"events[{index}].dwell.click_event_id",
                f'no click "{event.click_event_id}" was recorded in the last {HORIZON.days} days '
                "or stands earlier in this request; send the event_id of a click",
            )
        if click is None or not in_range:
            return
        dwell = Dwell(
            event_id=event.event_id,
            click_event_id=event.click_event_id,
            impression_id=click.impression_id,
            document_id=click.document_id,
            dwell_ms=event.dwell_ms,
            censored=event.censored,
        )
        apart = click.document_id == QUARANTINED
        self._add(index, key, dwell, click.date, Rule.QUARANTINED_CLICK if apart else Rule.ACCEPTED)

    def _add(self, index: int, key: bytes, event: Click | Dwell, date: str, rule: Rule) -> bool:
        """Add the event of `key` and its row; False and a violation if no row can be made."""
        try:
            row = click_row(event, date) if isinstance(event, Click) else dwell_row(event, date)
            if rule is Rule.BOT_LIKE or rule is Rule.QUARANTINED_CLICK:
                row = quarantine_row(event, row, self.now, rule)
        except InvalidRequest as error:
            self.wrong(
                Rule.MALFORMED,
                *(Violation(f"events[{index}]", one.description) for one in error.violations),
            )
            return False
        if rule is not Rule.ACCEPTED:
            self.rules[rule] += 1
        self.news.seen.add(key)
        self.rows.append(row)
        return True

    def _is_duplicate(self, key: bytes) -> bool:
        duplicate = key in self.known.seen or key in self.news.seen
        self.duplicates += duplicate
        return duplicate

    def wrong(self, rule: Rule, *violations: Violation) -> None:
        self.rules[rule] += 1
        self.violations.extend(violations)
        self.invalid = True

    def _missing(self, rule: Rule | None, path: str, description: str) -> None:
        if rule is not None:  # an event that was found wrong before is not counted twice
            self.rules[rule] += 1
        self.violations.append(Violation(path, description))
