"""What the journal knows of the ids that a call names: enough to judge it without its history."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Literal, NamedTuple

from ranklift.events.pending import Recorded
from ranklift.events.rows import Row

# A page takes clicks, and a click takes dwells, for this long after it was recorded. Longer than
# a session with its retries and the outage of a client over a weekend; short enough that the
# journal holds a week of pages and not all of them.
HORIZON = timedelta(days=7)
IDENTITY_BYTES = 16


_HASHES = {
    kind: blake2b(digest_size=IDENTITY_BYTES, person=kind.encode())
    for kind in ("page", "event", "document", "shadow")
}


def identity(kind: Literal["page", "event", "document", "shadow"], name: str) -> bytes:
    """Return the 16 bytes that stand for a name for good.

    128 bits: with 10^12 names the chance of any collision is below 10^-14.
    """
    hashing = _HASHES[kind].copy()  # half the time of setting one up
    hashing.update(name.encode("utf-8", "surrogatepass"))
    return hashing.digest()


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that still takes clicks: its date and its documents in the order shown."""

    date: str
    documents: tuple[str, ...]


# In the place of a document id, which is never empty: the journal needs no column for it.
QUARANTINED = ""


class Clicked(NamedTuple):
    """A click that still takes dwells: the date of its page, and what was clicked.

    `QUARANTINED` stands for the document of a click in quarantine, where its dwells follow it.
    """

    date: str
    impression_id: str
    document_id: str


@dataclass(frozen=True, slots=True)
class Mentions:
    """The identities that a call names, by what must be known of them to judge it."""

    seen: set[bytes] = field(default_factory=set)
    shown: set[bytes] = field(default_factory=set)
    clicked: set[bytes] = field(default_factory=set)

    def add(self, other: Mentions) -> None:
        self.seen.update(other.seen)
        self.shown.update(other.shown)
        self.clicked.update(other.clicked)


@dataclass(frozen=True, slots=True)
class Known:
    """What is on disk, or about to be: identities seen, pages and clicks that are still open."""

    seen: set[bytes] = field(default_factory=set)
    shown: dict[bytes, Shown] = field(default_factory=dict)
    clicked: dict[bytes, Clicked] = field(default_factory=dict)

    def add(self, other: Known) -> None:
        self.seen.update(other.seen)
        self.shown.update(other.shown)
        self.clicked.update(other.clicked)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one call adds to the journal, and what became of the things that it brought."""

    news: Known
    rows: tuple[Row, ...]
    outcome: Recorded


def cutoff(now: datetime) -> int:
    """Return the second before which a page or click must not have been recorded to be open."""
    return int((now - HORIZON).timestamp())
