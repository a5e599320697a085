"""MS MARCO's files, as they ship and compressed; only what is asked for is kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.msmarco import (
    read_collection,
    read_id_triples,
    read_msmarco,
    read_queries,
    read_text_triples,
)
from ranklift.v1.errors import InvalidRequest

COLLECTION = "0\tlift is a force\n1\tdrag is\x0b another\n2\twings\n3\ttails\n"
QUERIES = "10\twhat is lift\n11\twhat is drag\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "collection.tsv").write_bytes(gzip.compress(COLLECTION.encode()))
    (tmp_path / "queries.tsv").write_text(QUERIES)
    (tmp_path / "qrels.tsv").write_text("10\t0\t0\t1\n11\t0\t1\t1\n")
    (tmp_path / "run.trec").write_text("10 Q0 2 1 2.5 bm25\n10 Q0 0 2 1.5 bm25\n")
    (tmp_path / "triples.tsv").write_text("10\t0\t2\n10\t0\t1\n11\t1\t0\n")
    return tmp_path


def graded(ranking: RankingList) -> dict[str, float]:
    return {d.text: grade for d, grade in zip(ranking.documents, ranking.targets, strict=True)}


def read(folder: Path) -> Judged:
    return read_msmarco(
        *(folder / name for name in ("collection.tsv", "queries.tsv", "qrels.tsv", "run.trec"))
    )


def test_a_collection_with_a_run_keeps_what_is_judged_or_ranked(folder: Path) -> None:
    judged = read(folder)
    assert judged.queries == {"10": "what is lift", "11": "what is drag"}
    assert judged.documents == {
        "0": Text("0", "", "lift is a force"),
        "1": Text("1", "", "drag is\x0b another"),
        "2": Text("2", "", "wings"),
    }
    assert judged.grades == {"10": {"0": 1}, "11": {"1": 1}}
    assert judged.candidates == {"10": ("2", "0")}
    (only,) = judged.lists()
    assert (only.query, only.targets) == ("what is lift", (0.0, 1.0))


def test_a_whole_collection_is_kept_on_request(folder: Path) -> None:
    files = (folder / "collection.tsv", folder / "queries.tsv", folder / "qrels.tsv")
    assert list(read_msmarco(*files).documents) == ["0", "1"]
    judged = read_msmarco(*files, whole=True)
    assert list(judged.documents) == ["0", "1", "2", "3"]
    assert judged.lists() == []


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("qrels.tsv", "10\t0\t9\t1\n", 'qrels.tsv:3: document "9" is not in the collection'),
        ("qrels.tsv", "19\t0\t1\t1\n", 'qrels.tsv:3: query "19" is not in the collection'),
        ("run.trec", "10 Q0 9 3 1 t\n", 'run.trec:3: document "9" is not in the collection'),
        ("queries.tsv", "12\n", "queries.tsv:3: has 1 columns, must have 2: query id, query"),
        ("queries.tsv", "12\ta\tb\n", "queries.tsv:3: has 3 columns, must have 2"),
        ("queries.tsv", "10\tagain\n", 'queries.tsv:3: query "10" is there twice'),
        ("queries.tsv", "12\t \n", 'queries.tsv:3: query "12" is blank'),
    ],
)
def test_a_bad_line_is_named(folder: Path, name: str, line: str, message: str) -> None:
    with (folder / name).open("a") as file:
        file.write(line)
    with pytest.raises(InvalidRequest) as raised:
        read(folder)
    assert message in str(raised.value)


def test_passages_that_nobody_asked_for_are_skipped_but_must_have_two_columns(
    tmp_path: Path,
) -> None:
    path = tmp_path / "collection.tsv"
    path.write_text("0\ta\n1\tb\n1\tb\n")
    assert list(read_collection(path, {"0"})) == ["0"]
    path.write_text("0\ta\n1\n")
    with pytest.raises(InvalidRequest, match=r"collection.tsv:2: has 1 columns"):
        read_collection(path, {"0"})


def test_id_triples_become_one_list_a_query(folder: Path) -> None:
    judged = read_id_triples(
        folder / "triples.tsv", folder / "collection.tsv", folder / "queries.tsv", limit=10
    )
    assert judged.candidates == {"10": ("0", "1", "2"), "11": ("0", "1")}
    assert judged.grades == {"10": {"2": 0, "1": 0, "0": 1}, "11": {"0": 0, "1": 1}}
    assert [each.targets for each in judged.lists()] == [(1.0, 0.0, 0.0), (0.0, 1.0)]
    assert "3" not in judged.documents


def test_triples_are_read_no_further_than_the_limit(folder: Path) -> None:
    with (folder / "triples.tsv").open("a") as file:
        file.write("broken\n")
    judged = read_id_triples(
        folder / "triples.tsv", folder / "collection.tsv", folder / "queries.tsv", limit=1
    )
    assert judged.candidates == {"10": ("0", "2")}
    assert list(judged.queries) == ["10"]
    with pytest.raises(InvalidRequest, match="limit: is 0, must be at least 1"):
        read_text_triples(folder / "triples.tsv", limit=0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("10\t0\n", "has 2 columns, must have 3: query, relevant passage, another passage"),
        ("10\t0\t \n", "has a blank column"),
        ("19\t0\t1\n", 'query "19" is not in the collection'),
        ("10\t9\t1\n", 'passage "9" is not in the collection'),
        ("10\t0\t9\n", 'passage "9" is not in the collection'),
    ],
)
def test_a_bad_triple_is_named(folder: Path, line: str, message: str) -> None:
    path = folder / "triples.tsv"
    with path.open("a") as file:
        file.write(line)
    with pytest.raises(InvalidRequest) as raised:
        read_id_triples(path, folder / "collection.tsv", folder / "queries.tsv", limit=10)
    assert str(raised.value).startswith(f"{path}:4: {message}")


def test_text_triples_bring_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "triples.tsv.gz"
    lines = ["lift?\tlift is\tdrag is\n", "lift?\tlift is\twings\n", "drag?\tdrag is\tlift is\n"]
    path.write_bytes(gzip.compress("".join(lines).encode()))
    judged = read_text_triples(path, limit=10)
    assert list(judged.queries.values()) == ["lift?", "drag?"]
    assert len(judged.documents) == 3
    assert all(document.id == identity for identity, document in judged.documents.items())
    lists = {each.query: graded(each) for each in judged.lists()}
    assert lists == {
        "lift?": {"lift is": 1.0, "drag is": 0.0, "wings": 0.0},
        "drag?": {"drag is": 1.0, "lift is": 0.0},
    }
    # The order tells nothing: the better passage of a triple comes first about as often as not.
    path.write_text("".join(f"q{n}\tgood {n}\tbad {n}\n" for n in range(400)))
    first = [each.targets[0] for each in read_text_triples(path, limit=400).lists()]
    assert 140 < sum(first) < 260  # 6 standard deviations


def test_a_passage_relevant_in_one_triple_is_so_in_all(tmp_path: Path) -> None:
    path = tmp_path / "triples.tsv"
    path.write_text("q\ta\tb\nq\tb\tc\n")
    (only,) = read_text_triples(path, limit=10).lists()
    assert graded(only) == {"a": 1.0, "b": 1.0, "c": 0.0}


def test_queries_are_read_by_id(folder: Path) -> None:
    assert read_queries(folder / "queries.tsv")["11"] == "what is drag"
