"""Datasets by the names that users give them: each format is told and read, real ones too."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ranklift.cli.collections import judged_ground
from ranklift.cli.dataset_formats import Format, format_of
from ranklift.cli.datasets import Choice, open_clicks, open_dataset
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick
from ranklift.events.values import Document as Offered
from ranklift.events.values import Page
from ranklift.rankers.base import ClickedText, Text
from ranklift.rankers.data.negatives import Mix, negatives, training_lists
from ranklift.rankers.data.splits import folds
from ranklift.retrain.dataset import is_held_out
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady

REAL = Path(__file__).parents[4] / "shared" / "data"
DOCUMENTS = {
    "d1": Document("d1", "Wings", "lift and drag"),
    "d2": Document("d2", "", "drag is a force"),
    "d3": Document("d3", "", "tails"),
}
QUERIES = {"q1": "what is lift", "q2": "drag", "q3": "tails"}


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A collection with an empty document "d4", judgments of tests and others of training."""
    folder = tmp_path / "beir"
    documents = {**DOCUMENTS, "d4": Document("d4", "", "")}
    save_beir(Collection(documents, QUERIES, {"q1": {"d1": 2, "d4": 1}}), folder)
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t1\n")
    return folder


@pytest.fixture
def msmarco(tmp_path: Path) -> Path:
    folder = tmp_path / "msmarco"
    folder.mkdir()
    passages = "0\tlift is a force\n1\tdrag is one\n2\ttails\n"
    (folder / "collection.tsv.gz").write_bytes(gzip.compress(passages.encode()))
    (folder / "queries.train.tsv").write_text("10\twhat is lift\n")
    (folder / "qrels.train.tsv").write_text("10\t0\t0\t1\n")
    (folder / "triples.tsv").write_text("10\t0\t2\n")
    return folder


def test_a_collection_is_read_as_before(beir: Path) -> None:
    found = open_dataset(str(beir), Choice(depth=2))
    ground = judged_ground(beir, depth=2)
    assert found.lists() == ground.lists(ground.candidates)
    assert found.grades == ground.collection.judgments == {"q1": {"d1": 2}}


@pytest.mark.parametrize("name", ["cranfield", "vaswani"])
def test_a_real_collection_is_read_as_before(name: str) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"the collection is not at {REAL / name}")
    found = open_dataset(str(REAL / name), Choice(depth=10))
    ground = judged_ground(REAL / name, depth=10)
    assert found.lists() == ground.lists(ground.candidates)

    parts = folds({q: found.queries[q] for q in found.grades}, 5)
    assert sorted(q for part in parts for q in part.test) == sorted(found.grades)
    # Negatives by the hundred: relevant documents are in the lists once, with their grades.
    chosen = negatives(found, Mix(lexical=5, random=5))
    assert chosen.short == sum(10 - len(of_query) for of_query in chosen.by_query.values())
    for query_id, ranking in zip(chosen.by_query, training_lists(found, chosen), strict=True):
        ids = [document.id for document in ranking.documents]
        assert len(set(ids)) == len(ids)
        assert sum(ranking.targets) == sum(found.grades[query_id].values())


def test_a_split_is_its_judgments_and_its_queries(beir: Path) -> None:
    found = open_dataset(str(beir), Choice(split="train"))
    assert (found.queries, found.grades) == ({"q2": "drag"}, {"q2": {"d2": 1}})
    assert list(found.candidates) == ["q2"]
    with pytest.raises(NotFound, match=r"dev.tsv does not exist"):
        open_dataset(str(beir), Choice(split="dev"))
    with pytest.raises(InvalidRequest, match="give one of the two"):
        open_dataset(str(beir), Choice(split="train", qrels=beir / "qrels" / "train.tsv"))


def test_qrels_and_a_run_take_the_place_of_what_is_there(beir: Path, tmp_path: Path) -> None:
    (beir / "qrels" / "test.tsv").unlink()
    qrels, run = tmp_path / "qrels", tmp_path / "run"
    qrels.write_text("q1 0 d2 1\nq1 0 d4 1\nq3 0 d3 0\n")
    run.write_text("q1 Q0 d3 1 0.1 t\nq1 Q0 d4 2 0.3 t\nq1 Q0 d2 3 0.2 t\n")
    found = open_dataset(str(beir), Choice(qrels=qrels, run=run))
    # The empty document is known, and left out.
    assert found.grades == {"q1": {"d2": 1}, "q3": {"d3": 0}}
    assert found.candidates == {"q1": ("d2", "d3")}
    qrels.write_text("q1 0 d2 1\nq9 0 d1 1\nq1 0 d9 1\n")
    with pytest.raises(InvalidRequest) as raised:
        open_dataset(str(beir), Choice(qrels=qrels))
    assert [v.field for v in raised.value.violations] == [f"{qrels}:2", f"{qrels}:3"]


def test_candidates_saved_beside_a_collection_are_those_ranked(beir: Path) -> None:
    (beir / "candidates.trec").write_text("q1 Q0 d3 1 -1 c\nq2 Q0 d1 1 -1 c\n")
    assert open_dataset(str(beir)).candidates == {"q1": ("d3",), "q2": ("d1",)}
    assert open_dataset(str(beir), Choice(split="train")).candidates == {"q2": ("d1",)}


def test_msmarco_is_read_with_a_run_or_searched(msmarco: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.write_text("10 Q0 2 1 0.5 t\n")
    ranked = open_dataset(str(msmarco), Choice(run=run))
    assert ranked.candidates == {"10": ("2",)}
    assert sorted(ranked.documents) == ["0", "2"]
    searched = open_dataset(str(msmarco))
    assert searched.candidates == {"10": ("0", "1")}
    assert searched.grades == {"10": {"0": 1}}


def test_other_qrels_of_msmarco_bring_the_passages_that_they_judge(
    msmarco: Path, tmp_path: Path
) -> None:
    run, qrels = tmp_path / "run", tmp_path / "qrels"
    run.write_text("10 Q0 2 1 0.5 t\n")
    qrels.write_text("10 0 1 1\n")
    found = open_dataset(str(msmarco), Choice(run=run, qrels=qrels))
    assert (sorted(found.documents), found.grades) == (["1", "2"], {"10": {"1": 1}})


def test_several_splits_of_msmarco_must_be_chosen_from(msmarco: Path) -> None:
    (msmarco / "queries.dev.small.tsv.gz").write_bytes(gzip.compress(b"11\twhat is drag\n"))
    with pytest.raises(InvalidRequest, match=r"has queries of dev.small, train; say which"):
        open_dataset(str(msmarco))
    with pytest.raises(InvalidRequest, match=r"has queries of dev.small, train; say which"):
        open_dataset(str(msmarco), Choice(split="test"))
    found = open_dataset(str(msmarco), Choice(split="dev.small"))
    assert (found.queries, found.grades) == ({"11": "what is drag"}, {})


def test_triples_are_told_by_what_is_in_them(msmarco: Path, tmp_path: Path) -> None:
    assert format_of(str(msmarco / "triples.tsv")) is Format.ID_TRIPLES
    (only,) = open_dataset(str(msmarco / "triples.tsv")).lists()
    assert [d.text for d in only.documents] == ["lift is a force", "tails"]
    texts = tmp_path / "triples.train.small.tsv.gz"
    texts.write_bytes(gzip.compress(b"lift?\tlift is\t3\n" * 3 + b"lift?\tlift is\tdrag\n"))
    assert format_of(str(texts)) is Format.TEXT_TRIPLES
    (only,) = open_dataset(str(texts), Choice(triples=3)).lists()
    assert (only.query, {d.text for d in only.documents}) == ("lift?", {"lift is", "3"})
    # Three numbers may be texts all the same.
    numbers = tmp_path / "numbers.tsv"
    numbers.write_text("1\t2\t3\n")
    (only,) = open_dataset(str(numbers), Choice(format=Format.TEXT_TRIPLES)).lists()
    assert only.query == "1"


def test_lists_bring_their_candidates(tmp_path: Path) -> None:
    path = tmp_path / "lists.jsonl"
    documents = [{"id": "d", "text": "wings", "grade": 1}, {"id": "e", "text": "tails"}]
    path.write_text(json.dumps({"query": "lift", "documents": documents}))
    found = open_dataset(str(path))
    assert [each.targets for each in found.lists()] == [(1.0, 0.0)]
    with pytest.raises(InvalidRequest, match=r"split: .* has no splits"):
        open_dataset(str(path), Choice(split="train"))


def record(home: Path, queries: list[str]) -> None:
    """Record a page for each query: documents "a" and "b", of which "b" is clicked."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    page = Page(
        impression_id="",
        page_time=now,
        user_id="u",
        session_id="",
        query="",
        documents=("a", "b"),
        scores=(1.0, 0.5),
        model="bm25",
        version="1",
        digest="",
        assignments=(),
        fallback_reason="",
        latency_ms=1.0,
    )

    async def write() -> None:
        async with await EventLog.open(home) as log:
            texts = [Offered("a", "A", "about a"), Offered("b", "B", "about b")]
            for number, query in enumerate(queries):
                shown = replace(page, impression_id=f"p{number}", query=query)
                await log.record_page(shown, texts)
                click = PendingClick(f"c{number}", f"p{number}", "b", now)
                await log.record_events([click])

    asyncio.run(write())


def test_the_log_gives_lists_graded_by_clicks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    queries = [f"query {n}" for n in range(12)]
    held_out = {query for query in queries if is_held_out(query)}
    assert 0 < len(held_out) < 12
    record(home, queries)
    found = open_dataset(f"log:{home}")
    assert found == open_dataset("log:", home=home)
    assert set(found.queries) == set(queries)
    assert found.documents == {"a": Text("a", "A", "about a"), "b": Text("b", "B", "about b")}
    assert found.grades == {query: {"a": 0, "b": 1} for query in queries}
    assert set(found.candidates.values()) == {("a", "b")}  # the clicked one is not put first
    assert set(open_dataset(f"log:{home}", Choice(split="test")).queries) == held_out
    train = open_dataset(f"log:{home}", Choice(split="train"))
    assert set(train.queries) == set(queries) - held_out

    clicks = open_clicks(f"log:{home}")
    assert sorted(click.query for click in clicks) == sorted(queries)
    assert {click.document.id for click in clicks} == {"b"}
    learnt = {click.query for click in open_clicks(f"log:{home}", Choice(split="train"))}
    assert learnt == set(train.queries)
    with pytest.raises(InvalidRequest, match='split: is "dev", a log has "train" and "test"'):
        open_dataset(f"log:{home}", Choice(split="dev"))


def test_an_empty_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="serve traffic"):
        open_dataset(f"log:{tmp_path}")


def test_relevant_documents_stand_for_clicks_elsewhere(beir: Path, msmarco: Path) -> None:
    lift = ClickedText("what is lift", Text("0", "", "lift is a force"))
    assert open_clicks(str(msmarco)) == [lift]
    assert open_clicks(str(beir), Choice(split="train")) == [
        ClickedText("drag", Text("d2", "", "drag is a force"))
    ]


def test_what_cannot_be_told_is_said(tmp_path: Path, beir: Path, msmarco: Path) -> None:
    with pytest.raises(NotFound, match="does not exist; a dataset is a folder, a file"):
        format_of(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InvalidRequest,
        match=r"neither corpus.jsonl nor collection.tsv; .*--format .*evaluate: --data-format",
    ):
        format_of(str(tmp_path / "empty"))
    (beir / "collection.tsv").write_text("0\ta\n")
    with pytest.raises(InvalidRequest, match=r"holds both corpus.jsonl and collection.tsv"):
        format_of(str(beir))
    for name in ("queries.train.tsv", "notes.txt"):
        (msmarco / name).write_text("10\twhat\n")
        with pytest.raises(InvalidRequest, match=r"neither .jsonl nor a .tsv of triples"):
            format_of(str(msmarco / name))
    assert format_of("irds:vaswani") is Format.IRDS
    assert format_of("log:") is Format.LOG
