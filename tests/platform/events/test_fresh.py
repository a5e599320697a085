"""Identities that are not sorted yet are known as well as others: to all processes, for good."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from ranklift.events import fresh
from ranklift.events.frames import read_events
from ranklift.events.journal import FILE_NAME, FOLDER_NAME, Journal
from ranklift.events.known import Clicked, Known, Mentions, identity
from ranklift.events.rows import Row

# What ranklift 0.1 made, before identities were appended.
VERSION_1 = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, frame TEXT NOT NULL, date TEXT NOT NULL,
    body TEXT NOT NULL) STRICT;
CREATE TABLE files (path TEXT PRIMARY KEY, frame TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE seen (identity BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE shown (
    identity BLOB PRIMARY KEY, recorded INTEGER NOT NULL, date TEXT NOT NULL,
    documents TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX shown_recorded ON shown (recorded);
CREATE TABLE clicked (
    identity BLOB PRIMARY KEY, recorded INTEGER NOT NULL, date TEXT NOT NULL,
    impression_id TEXT NOT NULL, document_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX clicked_recorded ON clicked (recorded);
PRAGMA user_version = 1;
"""


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "MOST_FRESH", 40)
    monkeypatch.setattr(fresh, "SORTED_AT_LEAST", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER_NAME).mkdir()
    return tmp_path / FOLDER_NAME


def key_of(number: int) -> bytes:
    return identity("event", str(number))


def click_of(number: int) -> Clicked:
    return Clicked("2025-03-01", f"page\n{number}", "d\t'1'")


def known(journal: Journal, numbers: list[int], since: int = 0) -> tuple[set[int], set[int]]:
    """Which events are known, and which clicks of them take dwells; in a transaction."""
    keys = {key_of(number): number for number in numbers}
    found = journal.look_up(Mentions(seen=set(keys), clicked=set(keys)), since)
    for key, click in found.clicked.items():
        assert click == click_of(keys[key])
    return {keys[key] for key in found.seen}, {keys[key] for key in found.clicked}


def add(journal: Journal, numbers: list[int], recorded: int) -> None:
    """Every third is a click."""
    news = Known(
        seen={key_of(number) for number in numbers},
        clicked={key_of(number): click_of(number) for number in numbers if number % 3 == 0},
    )
    journal.append(news, [], recorded)


def add_and_fail(
    journal: Journal, numbers: list[int], recorded: int, *, settled: bool = False
) -> None:
    with journal.transaction():
        if settled:
            journal.settle()
        add(journal, numbers, recorded)
        assert known(journal, numbers)[0] == set(numbers)
        raise KeyError


@pytest.mark.parametrize("seed", range(5))
def test_whoever_looks_finds_what_anybody_added(folder: Path, seed: int) -> None:
    """Three processes take turns; some fail, some are opened anew, some sort everything."""
    rng = random.Random(seed)
    journals = [Journal.open(folder) for _ in range(3)]
    truth: dict[int, int] = {}  # number -> when
    for now in range(300):
        which = rng.randrange(3)
        journal = journals[which]
        asked = [rng.randrange(900) for _ in range(20)]
        news = [number for number in dict.fromkeys(asked[:5]) if number not in truth]
        since = rng.randrange(now + 1)
        with journal.transaction():
            # What failed begins at 1,000, and is known to nobody.
            seen, clicks = known(journal, [*asked, *range(1_000, 1_012)], since)
            assert seen == {number for number in asked if number in truth}
            assert clicks == {n for n in seen if n % 3 == 0 and truth[n] >= since}
            add(journal, news, now)
        truth.update(dict.fromkeys(news, now))
        for _ in range(rng.choice((0, 0, 1, 3))):
            lost = list(range(1_000, 1_000 + rng.randrange(12)))
            with pytest.raises(KeyError):
                add_and_fail(journal, lost, now, settled=rng.random() < 0.1)
        if rng.random() < 0.1:
            journal.close()
            journals[which] = Journal.open(folder)
        if rng.random() < 0.02:
            with journals[which].transaction():
                journals[which].settle()
    (left,) = journals[0].connection.execute("SELECT count(*) FROM fresh").fetchone()
    (done,) = journals[0].connection.execute("SELECT count(*) FROM seen").fetchone()
    assert done > 100
    assert left < 300
    with journals[0].transaction():
        journals[0].settle()
    for journal in journals:
        with journal.transaction():
            assert known(journal, list(range(1_300)))[0] == set(truth)
        journal.close()
    with sqlite3.connect(folder / FILE_NAME) as database:
        assert database.execute("SELECT count(*) FROM seen").fetchone() == (len(truth),)
        assert database.execute("SELECT count(*) FROM fresh").fetchone() == (0,)


def test_a_transaction_that_fails_costs_no_look_at_all_that_is_fresh(folder: Path) -> None:
    journal = Journal.open(folder)
    with journal.transaction():
        add(journal, list(range(20)), 0)
    said: list[str] = []
    journal.connection.set_trace_callback(said.append)
    for _ in range(3):
        with pytest.raises(KeyError):
            add_and_fail(journal, list(range(20, 25)), 0)
    with journal.transaction():
        assert known(journal, list(range(30)))[0] == set(range(20))
    looks = [line for line in said if "FROM fresh WHERE seq >" in line]
    assert looks
    assert not [line for line in looks if "seq > 0 " in line]
    journal.close()


def test_a_sorting_that_was_killed_is_begun_again(folder: Path) -> None:
    journal = Journal.open(folder)
    for number in range(0, 50, 5):
        with journal.transaction():
            add(journal, list(range(number, number + 5)), 0)
    (done,) = journal.connection.execute("SELECT count(*) FROM seen").fetchone()
    assert 0 < done < 40  # in the middle
    journal.close()
    after = Journal.open(folder)
    with after.transaction():
        assert known(after, list(range(60)))[0] == set(range(50))
        add(after, list(range(50, 100)), 0)
        assert known(after, list(range(100)))[0] == set(range(100))
    after.close()


@pytest.fixture
def of_version_1(folder: Path) -> Path:
    with sqlite3.connect(folder / FILE_NAME, isolation_level=None) as database:
        database.executescript(VERSION_1)
        database.execute("PRAGMA journal_mode = WAL")
        body = '{"document_id":"d1","digest":"x","title":"","text":"a"}'
        database.execute("INSERT INTO rows VALUES (7, 'documents', '2025-03-01', ?)", (body,))
        database.execute("INSERT INTO seen VALUES (?)", (key_of(3),))
        database.execute("INSERT INTO clicked VALUES (?, 5, ?, ?, ?)", (key_of(3), *row(3)))
    database.close()
    return folder


def row(number: int) -> tuple[str, str, str]:
    click = click_of(number)
    return click.date, click.impression_id, click.document_id


def test_a_journal_of_version_1_is_read_as_it_is(of_version_1: Path) -> None:
    assert read_events(of_version_1.parent).documents.collect()["text"].to_list() == ["a"]


def test_a_journal_of_version_1_is_taken_over(of_version_1: Path) -> None:
    journal = Journal.open(of_version_1)
    assert journal.connection.execute("PRAGMA user_version").fetchone() == (2,)
    with journal.transaction():
        assert known(journal, [1, 2, 3]) == ({3}, {3})
        body = '{"document_id":"d2","digest":"x","title":"","text":"b"}'
        journal.append(Known(seen={key_of(1)}), [Row("documents", "2025-03-01", body)], 6)
    chunk = journal.oldest(journal.last_seq(), 100, 1_000)
    assert chunk is not None
    assert (chunk.first, chunk.last, len(chunk.rows)) == (7, 8, 2)
    journal.close()
    assert read_events(of_version_1.parent).documents.collect()["text"].to_list() == ["a", "b"]
