"""The file underneath: how hard it writes, what a failure leaves, whose file it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranklift.events.export import write_files
from ranklift.events.files import LocalFiles
from ranklift.events.frames import read_events
from ranklift.events.journal import FILE_NAME, FOLDER_NAME, Chunk, Journal
from ranklift.events.known import Known
from ranklift.events.log import EventLog
from ranklift.events.rows import Row
from ranklift.v1.errors import NotReady


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER_NAME).mkdir()
    return tmp_path / FOLDER_NAME


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal.open(folder)
    yield opened
    opened.close()


def append(journal: Journal, *bodies: str) -> None:
    rows = tuple(Row("documents", "2025-03-01", body) for body in bodies)
    with journal.transaction():
        journal.append(Known(), rows, recorded=0)


def oldest(journal: Journal, max_rows: int = 100, max_characters: int = 100) -> Chunk:
    chunk = journal.oldest(journal.last_seq(), max_rows, max_characters)
    assert chunk is not None
    return chunk


def test_a_commit_waits_for_the_disk(journal: Journal) -> None:
    assert journal.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    # FULL. https://sqlite.org/pragma.html#pragma_synchronous: NORMAL may lose the last commits
    # with the power.
    assert journal.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_transaction_that_fails_leaves_nothing_and_blocks_nobody(journal: Journal) -> None:
    insert = "INSERT INTO rows (frame, date, body) VALUES ('pages', '2025-03-01', '{}')"

    def fail() -> None:
        with journal.transaction():
            journal.connection.execute(insert)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    append(journal, "{}")
    assert journal.last_seq() == 1


def test_the_oldest_rows_come_in_chunks_of_bounded_size(journal: Journal) -> None:
    for body in "abc":
        append(journal, body)
    append(journal, *"de")  # of one commit: a block that stays whole
    assert oldest(journal).rows == tuple(Row("documents", "2025-03-01", b) for b in "abcde")
    assert (oldest(journal, max_rows=2).first, oldest(journal, max_rows=2).last) == (1, 2)
    assert (oldest(journal, max_rows=4).last, len(oldest(journal, max_rows=4).rows)) == (4, 5)
    assert len(oldest(journal, max_characters=3).rows) == 3
    up_to_two = journal.oldest(2, 100, 100)
    assert up_to_two is not None
    assert up_to_two.last == 2


def test_no_two_chunks_ever_have_a_file_name_in_common(folder: Path, journal: Journal) -> None:
    for number in range(1, 4):
        append(journal, '{"document_id":"d"}')
        chunk = oldest(journal)
        journal.publish(chunk, write_files(LocalFiles(folder), chunk), recorded_since=0)
        assert journal.oldest(100, 100, 100) is None
        assert len(list(folder.glob("documents/*/*.parquet"))) == number


@pytest.mark.parametrize("how", ["newer", "foreign", "no database"])
def test_a_journal_of_another_version_is_left_alone(folder: Path, how: str) -> None:
    path = folder / FILE_NAME
    journal = Journal.open(folder)
    journal.connection.execute(f"PRAGMA user_version = {99 if how == 'newer' else 0}")
    journal.close()
    words = {"newer": "version 99", "foreign": "version 0", "no database": "not an event journal"}
    if how == "no database":
        path.write_bytes(os.urandom(8_192))
    before = path.read_bytes()
    with pytest.raises(NotReady, match=words[how]):
        asyncio.run(EventLog.open(folder.parent))
    with pytest.raises(NotReady, match=words[how]):
        read_events(folder.parent)
    assert path.read_bytes() == before
