"""What callers ask to record about pages that were shown, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ranklift.v1.errors import Violation


# Tuples, since they are made in half the time of a frozen dataclass, 50,000 a second.
class PendingClick(NamedTuple):
    """A click that is not checked against its page yet; `click_time` is aware."""

    event_id: str
    impression_id: str
    document_id: str
    click_time: datetime


class PendingDwell(NamedTuple):
    """A dwell that is not checked against its click yet, in whole milliseconds."""

    event_id: str
    click_event_id: str
    dwell_ms: int
    censored: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """An event that cannot be read; it keeps its place, so that a refusal names every bad event."""

    violations: tuple[Violation, ...]


Pending = PendingClick | PendingDwell | Malformed


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the events of one call: recorded now, recorded before, or kept out.

    Only a call that takes what is good of it has anything `rejected`; a field begins with
    "events[<place>].".
    """

    recorded: int
    duplicates: int
    rejected: tuple[Violation, ...] = ()
