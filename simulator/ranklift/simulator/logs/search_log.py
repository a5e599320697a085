"""A log of searches: pages with what they showed, and the clicks on them in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ranklift.v1.errors import InvalidRequest

INSTANT = pl.Datetime("us", "UTC")
PAGES = pl.Schema(
    {
        "session": pl.String(),
        "user": pl.String(),
        "query": pl.String(),
        "time": INSTANT,
        "documents": pl.List(pl.String()),
    }
)
CLICKS = pl.Schema(
    {
        "page": pl.Int64(),
        "rank": pl.Int64(),
        "nth": pl.Int64(),
        "time": INSTANT,
        "dwell_seconds": pl.Float64(),
        "censored": pl.Boolean(),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class SearchLog:
    """What was shown and clicked; what a log does not hold is null throughout.

    `pages` has the schema `PAGES`, one page a row, those of a session in order: its
    `session`, `user` and `time` (null where not known), the `query`, and the ids of its
    `documents`, best first; a page of a real log may show one twice. `clicks` has the schema
    `CLICKS`, by page: `page` is the row in `pages`, `rank` is 0-based, `nth` the place among the
    clicks of the page from 0 (null where the log has no order), `censored` whether the end of the
    dwell was not seen. A result that was clicked again has several rows.
    """

    pages: pl.DataFrame
    clicks: pl.DataFrame

    @property
    def has_order(self) -> bool:
        return self.clicks.height > 0 and self.clicks["nth"].null_count() == 0

    @property
    def has_dwell(self) -> bool:
        return self.clicks["dwell_seconds"].count() > 0

    @property
    def has_users(self) -> bool:
        return self.pages["user"].null_count() == 0 and self.pages["time"].null_count() == 0


@dataclass(frozen=True, slots=True)
class LoggedClick:
    """A click on the result at a 0-based rank."""

    rank: int
    time: datetime | None = None
    dwell_seconds: float | None = None
    censored: bool = False


@dataclass(frozen=True, slots=True)
class LoggedPage:
    """A page as a line of a log has it; `ordered` says that its clicks are in order."""

    session: str
    query: str
    documents: tuple[str, ...]
    clicks: tuple[LoggedClick, ...]
    user: str | None = None
    time: datetime | None = None
    ordered: bool = True


def log_of(pages: Iterable[LoggedPage], where: str) -> SearchLog:
    """Return the log of pages that come session by session, in order.

    Raises:
        InvalidRequest: there is none; the field is `where`.
    """
    page_rows, click_rows = [], []
    for row, page in enumerate(pages):
        page_rows.append((page.session, page.user, page.query, page.time, list(page.documents)))
        for nth, click in enumerate(page.clicks):
            place = nth if page.ordered else None
            click_rows.append(
                (row, click.rank, place, click.time, click.dwell_seconds, click.censored)
            )
    if not page_rows:
        raise InvalidRequest.of(where, "holds no session; give a log with at least one page")
    return SearchLog(
        pl.DataFrame(page_rows, schema=PAGES, orient="row"),
        pl.DataFrame(click_rows, schema=CLICKS, orient="row"),
    )


def check_documents(at: str, documents: list[str]) -> None:
    """Raise InvalidRequest unless a page shows some documents, all with an id."""
    if not documents:
        raise InvalidRequest.of(at, "shows no document; leave the page out")
    if "" in documents:
        raise InvalidRequest.of(at, "shows a document without an id")
