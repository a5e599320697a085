"""Unit ids under a key: stable, everywhere on a page, and nothing without the key."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ranklift.events.pseudonyms import Pseudonyms, read_key
from ranklift.events.values import Page, PageAssignment
from ranklift.v1.errors import InvalidRequest

ASSIGNMENT = PageAssignment("boost", 2, "default", "control", "ann", 17)
PAGE = Page(
    impression_id="i1",
    page_time=datetime(2026, 3, 1, tzinfo=UTC),
    user_id="ann",
    session_id="",
    query="shoes",
    documents=("a",),
    scores=(1.0,),
    model="bm25",
    version="1",
    digest="",
    fallback_reason="",
    latency_ms=1.0,
    assignments=(ASSIGNMENT,),
    forced=(replace(ASSIGNMENT, layer="other"),),
)


def test_every_id_of_a_page_is_replaced_and_nothing_else() -> None:
    pseudonyms = Pseudonyms(b"k" * 32)
    page = pseudonyms.page(PAGE)
    # RFC 7693's keyed mode, as the standard library has it.
    expected = hashlib.blake2b(b"ann", key=b"k" * 32, digest_size=16).hexdigest()
    assert (page.user_id, page.session_id) == (expected, "")
    assert [one.unit_id for one in (*page.assignments, *page.forced)] == [expected] * 2
    assert page.assignments[0] == replace(ASSIGNMENT, unit_id=expected)
    assert "ann" not in repr(page)
    assert pseudonyms.of("ann") == expected != Pseudonyms(b"j" * 32).of("ann")


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "home" / "unit-ids.key"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: read_key(file), range(16)))
    assert len(found) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    file.unlink()
    assert read_key(file) not in found  # a lost key: every unit is a new one


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"short")
    with pytest.raises(InvalidRequest, match="holds 5 bytes, must be at least 32"):
        read_key(file)
