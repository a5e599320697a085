"""What is recorded, as frozen values. Every instant is an aware datetime in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was offered to the rankers."""

    document_id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class PageAssignment:
    """The arm that an experiment assigned a page's unit to; `bucket` in [0, 10000)."""

    experiment: str
    revision: int
    layer: str
    arm: str
    unit_id: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Page:
    """One results page: who asked, what was shown in which order, which model version ranked it.

    `documents` and `scores` run along the shown order. `fallback_reason` is ""
    when the arm's own ranker answered, else the lower-case name of the
    protocol's FallbackReason ("unavailable", "deadline", "not_loaded",
    "overloaded", "error"). `latency_ms` is what the user waited for.
    """

    impression_id: str
    page_time: datetime
    user_id: str
    session_id: str
    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...]
    model: str
    version: str
    digest: str
    assignments: tuple[PageAssignment, ...]
    fallback_reason: str
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Click:
    """A click on a result; `position` is 1-based and comes from the page, not from the client."""

    event_id: str
    impression_id: str
    document_id: str
    position: int
    click_time: datetime


@dataclass(frozen=True, slots=True)
class Dwell:
    """The time spent after a click, in whole milliseconds; a lower bound when `censored`."""

    event_id: str
    click_event_id: str
    impression_id: str
    document_id: str
    dwell_ms: int
    censored: bool
