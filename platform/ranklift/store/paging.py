"""Pages of a list: sizes, and tokens that say where the next page begins."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from ranklift.v1.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def size_of(page_size: int) -> int:
    """Return the number of items of a page; the default for 0.

    Raises:
        InvalidRequest: outside [0, 1000].
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequest.of("page_size", f"{page_size} is not in [0, {MAX_PAGE_SIZE}]")
    return page_size or DEFAULT_PAGE_SIZE


def to_token(*key: str) -> str:
    """Return the token of the page that begins after the item with this sort key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def from_token(token: str, parts: int) -> Sequence[str] | None:
    """Return the sort key in `token`, of so many parts; None for the first page.

    Raises:
        InvalidRequest: no list gave this token.
    """
    if not token:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (binascii.Error, UnicodeError, ValueError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != parts
        or not all(isinstance(part, str) for part in key)
    ):
        raise InvalidRequest.of(
            "page_token", "not a token of this list; pass next_page_token of the previous reply"
        )
    return key
