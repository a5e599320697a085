"""One record on its way to a frame: as JSON in the journal, as typed columns in Parquet.

A row's JSON has the columns of its frame by name. Instants are whole microseconds since 1970,
so that they, like every other value, come back exactly.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import polars as pl

from ranklift.events.values import Click, Document, Dwell, Page, ShadowScores
from ranklift.v1.errors import InvalidRequest, RequestError

Frame = Literal["pages", "clicks", "dwells", "documents", "shadows", "quarantine"]

INSTANT = pl.Datetime("us", "UTC")
ASSIGNMENT = pl.Struct(
    {
        "experiment": pl.String(),
        "revision": pl.Int64(),
        "layer": pl.String(),
        "arm": pl.String(),
        "unit_id": pl.String(),
        "bucket": pl.Int32(),
    }
)
ATTRIBUTE = pl.Struct({"name": pl.String(), "value": pl.String()})
INTERLEAVED = pl.Struct(
    {
        "method": pl.String(),
        "models": pl.List(pl.String()),
        "teams": pl.List(pl.Int32()),
        "ranks": pl.List(pl.List(pl.Int32())),
        "missing": pl.List(pl.String()),
    }
)
EXPLORED = pl.Struct(
    {
        "method": pl.String(),
        "ranks": pl.List(pl.Int32()),
        "list_propensity": pl.Float64(),
        "position_propensities": pl.List(pl.Float64()),
    }
)
# docs/architecture.md, "Event frames". Columns are only ever added, at the end: files keep the
# columns that they were written with, and read as null where they lack one.
SCHEMAS: Mapping[Frame, pl.Schema] = {
    "pages": pl.Schema(
        {
            "impression_id": pl.String(),
            "page_time": INSTANT,
            "user_id": pl.String(),
            "session_id": pl.String(),
            "query": pl.String(),
            "documents": pl.List(pl.String()),
            "scores": pl.List(pl.Float64()),
            "model": pl.String(),
            "version": pl.String(),
            "digest": pl.String(),
            "assignments": pl.List(ASSIGNMENT),
            "fallback_reason": pl.String(),
            "latency_ms": pl.Float64(),
            "attributes": pl.List(ATTRIBUTE),
            "forced": pl.List(ASSIGNMENT),
            "interleaving": INTERLEAVED,
            "exploration": EXPLORED,
        }
    ),
    "clicks": pl.Schema(
        {
            "event_id": pl.String(),
            "impression_id": pl.String(),
            "document_id": pl.String(),
            "position": pl.Int32(),
            "click_time": INSTANT,
        }
    ),
    "dwells": pl.Schema(
        {
            "event_id": pl.String(),
            "click_event_id": pl.String(),
            "impression_id": pl.String(),
            "document_id": pl.String(),
            "dwell_ms": pl.Int64(),
            "censored": pl.Boolean(),
        }
    ),
    "documents": pl.Schema(
        {
            "document_id": pl.String(),
            "digest": pl.String(),
            "title": pl.String(),
            "text": pl.String(),
        }
    ),
    "shadows": pl.Schema(
        {
            "impression_id": pl.String(),
            "model": pl.String(),
            "version": pl.String(),
            "digest": pl.String(),
            "scores": pl.List(pl.Float64()),
            "rank_correlation": pl.Float64(),
            "latency_ms": pl.Float64(),
            "error": pl.String(),
        }
    ),
    "quarantine": pl.Schema(
        {
            "event_id": pl.String(),
            "kind": pl.String(),
            "impression_id": pl.String(),
            "document_id": pl.String(),
            "received": INSTANT,
            "reason": pl.String(),
            "body": pl.String(),
        }
    ),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Row(NamedTuple):
    """A record of `frame` as JSON; `date` (YYYY-MM-DD, UTC) is that of its page."""

    frame: Frame
    date: str
    body: str


def date_of(page: Page) -> str:
    """Return the date, in UTC, that a page and all that follows from it are filed under."""
    return page.page_time.astimezone(UTC).date().isoformat()


def page_row(page: Page) -> Row:
    """Return the row of a page.

    Raises:
        InvalidRequest: a number that is not finite, or text that is not Unicode.
    """
    return Row("pages", date_of(page), _encode(page))


def click_row(click: Click, date: str) -> Row:
    """Return the row of a click; raises as `page_row`."""
    # Written out, as is a dwell: a fifth of the time that the general encoder takes.
    body = (
        f'{{"event_id":{_text(click.event_id)},"impression_id":{_text(click.impression_id)},'
        f'"document_id":{_text(click.document_id)},"position":{click.position},'
        f'"click_time":{(click.click_time - _EPOCH) // _MICROSECOND}}}'
    )
    return Row("clicks", date, _checked(body))


def dwell_row(dwell: Dwell, date: str) -> Row:
    """Return the row of a dwell; raises as `page_row`."""
    body = (
        f'{{"event_id":{_text(dwell.event_id)},"click_event_id":{_text(dwell.click_event_id)},'
        f'"impression_id":{_text(dwell.impression_id)},"document_id":{_text(dwell.document_id)},'
        f'"dwell_ms":{dwell.dwell_ms},"censored":{"true" if dwell.censored else "false"}}}'
    )
    return Row("dwells", date, _checked(body))


def quarantine_row(event: Click | Dwell, body: Row, received: datetime, reason: str) -> Row:
    """Return the row of an event that is kept apart; `body` is the row it would have had."""
    values = {
        "event_id": event.event_id,
        "kind": "click" if isinstance(event, Click) else "dwell",
        "impression_id": event.impression_id,
        "document_id": event.document_id,
        "received": received,
        "reason": reason,
        "body": body.body,
    }
    return Row("quarantine", body.date, _encode(values))


def document_row(document: Document, digest: str, date: str) -> Row:
    """Return the row of a document; raises as `page_row`."""
    return Row("documents", date, _encode(_plain(document) | {"digest": digest}))


def shadow_row(shadow: ShadowScores, date: str) -> Row:
    """Return the row of a shadow's scores; raises as `page_row`."""
    return Row("shadows", date, _encode(shadow))


def document_digest(document: Document) -> str:
    """Return "sha256:<hex>" of a document's title and text.

    The title's length goes first: otherwise ("ab", "c") and ("a", "bc") were one document.
    """
    title = document.title.encode("utf-8", "surrogatepass")
    text = document.text.encode("utf-8", "surrogatepass")
    return "sha256:" + sha256(b"%d:%b%b" % (len(title), title, text)).hexdigest()


def decode(frame: Frame, bodies: Sequence[str]) -> pl.DataFrame:
    """Return rows of one frame as a data frame with the frame's schema."""
    schema = SCHEMAS[frame]
    stored = {name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in schema.items()}
    values = pl.Series("body", bodies, dtype=pl.String).str.json_decode(pl.Struct(stored))
    return values.struct.unnest().cast(schema)


def _plain(value: Any) -> Any:
    """Return a dataclass or an instant as what JSON has."""
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    return {field.name: getattr(value, field.name) for field in fields(value)}


_text = json.encoder.encode_basestring  # as the encoder below does, quotes included
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _encode(value: object) -> str:
    try:
        return _checked(_json.encode(value))
    except ValueError as error:
        raise _unrecordable(error) from error


def _checked(body: str) -> str:
    """Return `body` if the database will take it.

    Half a surrogate pair passes the encoder and would fail as late as in the database, where it
    would take its neighbours in the transaction with it.
    """
    if not body.isascii():
        try:
            body.encode()
        except ValueError as error:
            raise _unrecordable(error) from error
    return body


def _unrecordable(error: ValueError) -> RequestError:
    return InvalidRequest.of(
        "", f"cannot be recorded: {error}; send finite numbers and Unicode text"
    )
