"""Whatever lies in a file, a reader returns values or says in one line what is wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.data.jsonl import read_judged_lists, read_target_lists
from ranklift.rankers.data.msmarco import read_collection, read_queries, read_text_triples
from ranklift.rankers.data.trec import read_qrels, read_run
from ranklift.v1.errors import InvalidRequest

PIECES = [
    *("q1", "Q0", "d1", "d2", "0", "1", "-1", "nan", "1e999", "t", " ", "\t", "\n", "\r", "\x0b"),
    *("\u2028", "\u0663", "{", "}", "[", "]", ":", ",", "null", "true", "NaN", "1" * 5_000),
    *('"query"', '"documents"', '"id"', '"text"', '"grade"', '"target"', '"\\ud800"'),
    *("query-id\tcorpus-id\tscore\n", "q1 0 d1 1\n", "q1 Q0 d1 1 0.5 t\n", "a\tb\tc\n", "1\tx\n"),
    '{"query": "q", "documents": [{"id": "d", "text": "x", "grade": 1, "target": 0.5}]}',
]
WRITTEN = st.lists(st.sampled_from(PIECES), max_size=30).map(
    lambda pieces: "".join(pieces).encode()
)
CONTENT = st.one_of(WRITTEN, WRITTEN.map(gzip.compress), st.binary(max_size=40)).flatmap(
    lambda content: st.integers(0, len(content)).map(lambda end: content[end // 4 :])
)


@pytest.mark.parametrize(
    "read",
    [
        read_qrels,
        read_run,
        read_collection,
        read_queries,
        partial(read_text_triples, limit=10),
        read_judged_lists,
        read_target_lists,
    ],
)
@settings(deadline=None)
@given(content=CONTENT)
def test_any_bytes_are_read_or_refused(
    read: Callable[[Path], object], content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    refusal = ""
    try:
        assert read(path)
    except InvalidRequest as refused:
        refusal = str(refused)
    assert "\n" not in refusal
