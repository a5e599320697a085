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
class Attribute:
    """Something known of the user or the device, e.g. country = NL."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class InterleavedPage:
    """How the rankings of `models` ("model@version") became one page.

    `teams` says along the shown order which of them, numbered from 0, put the document there; -1
    where the method has no teams. `ranks[i]` are the 1-based ranks of the shown documents in the
    ranking of model i. `missing` are models that did not answer: the page is degraded.
    """

    method: str
    models: tuple[str, ...]
    teams: tuple[int, ...]
    ranks: tuple[tuple[int, ...], ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExploredPage:
    """How the order of a page was disturbed.

    `ranks` are the 1-based ranks that the shown documents had before. `list_propensity`, in (0, 1],
    is how likely the whole order was; `position_propensities` run along the shown order: how likely
    this document was at this place, whatever stood elsewhere.
    """

    method: str
    ranks: tuple[int, ...]
    list_propensity: float
    position_propensities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One results page: who asked, what was shown in which order, which model version ranked it.

    `documents` and `scores` run along the shown order. `fallback_reason` is ""
    when the arm's own ranker answered, else the lower-case name of the
    protocol's FallbackReason ("unavailable", "deadline", "not_loaded",
    "overloaded", "error"). `latency_ms` is what the user waited for.

    `forced` are arms that an experiment names for the unit: apart from `assignments`, so that no
    analysis counts them. A page that was interleaved names the first of its models as the version.
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
    attributes: tuple[Attribute, ...] = ()
    forced: tuple[PageAssignment, ...] = ()
    interleaving: InterleavedPage | None = None
    exploration: ExploredPage | None = None


@dataclass(frozen=True, slots=True)
class ShadowScores:
    """How a version scored a page off the user's path.

    `scores` run along the shown order of the page; they are empty when it failed, and `error` says
    why, else "". `rank_correlation` is Kendall's tau-b of the two orders in [-1, 1], None for
    fewer than two documents, all scores alike, or a failure.
    """

    impression_id: str
    model: str
    version: str
    digest: str
    scores: tuple[float, ...]
    rank_correlation: float | None
    latency_ms: float
    error: str


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
