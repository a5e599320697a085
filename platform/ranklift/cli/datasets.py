"""What a command learns from or judges on, by the name that a user gives it.

    FOLDER                a collection in BEIR layout, or MS MARCO's files
    FILE.jsonl            lists, one a line
    FILE.tsv              MS MARCO's triples, of ids or of texts
    irds:NAME             a dataset of ir_datasets
    log:  or  log:HOME    the event log of this installation or another

docs/training-data.md is the same for users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ranklift.cli.collections import text_of
from ranklift.cli.composition import files_of
from ranklift.cli.dataset_formats import IRDS, LOG, Format, format_of, msmarco_files
from ranklift.cli.logged_clicks import logged_clicks, logged_lists
from ranklift.rankers.base import ClickedText
from ranklift.rankers.data.irds import read_irds
from ranklift.rankers.data.jsonl import read_judged_lists
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.msmarco import read_id_triples, read_msmarco, read_text_triples
from ranklift.rankers.data.trec import read_qrels, read_run
from ranklift.retrain.dataset import is_held_out
from ranklift.settings import load_settings
from ranklift.simulator.candidates import lexical_candidates, load_run
from ranklift.simulator.collections import JUDGMENTS, Collection, Document, load_beir
from ranklift.v1.errors import InvalidRequest

DEPTH = 50
TRIPLES = 100_000
# A first stage in memory takes some kilobytes a document.
MOST_SEARCHED = 2_000_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a dataset is meant, beyond its name.

    `format` where the name does not tell. `split` is the part of the queries: "train", "dev",
    "test" or as the files say. `qrels` and `run` are TREC files: judgments in place of the
    dataset's, and candidates. Without a run, and where the data brings no candidates, they are
    BM25's best `depth`. Of triples, at most the first `triples` lines are read.
    """

    format: Format | None = None
    split: str | None = None
    qrels: Path | None = None
    run: Path | None = None
    depth: int = DEPTH
    triples: int = TRIPLES


PLAIN = Choice()


def open_dataset(source: str, choice: Choice = PLAIN, *, home: Path | None = None) -> Judged:
    """Return the queries, documents, grades and candidates of a dataset.

    `home` is the installation whose log "log:" means, the usual one by default.

    Raises:
        NotFound: the dataset or a file of it is missing.
        NotReady, Unreachable: the log is empty, or ir_datasets or its data is not there.
        InvalidRequest: a line is wrong, or the format cannot be told.
    """
    found, empty = _graded(source, choice, home, whole=choice.run is None)
    if choice.run:
        known = found.documents.keys() | empty
        run = read_run(choice.run, queries=found.queries, documents=known)
        ranked = {q: tuple(d for d in scores if d not in empty) for q, scores in run.items()}
        return replace(found, candidates=ranked)
    return found if found.candidates else _searched(found, choice.depth)


def open_clicks(
    source: str, choice: Choice = PLAIN, *, home: Path | None = None
) -> list[ClickedText]:
    """Return what continued pre-training learns from: a log's clicks, or relevant documents.

    Raises:
        RequestError: as `open_dataset`.
    """
    if (choice.format or format_of(source)) is Format.LOG:
        settings = load_settings(home=_log_home(source, home))
        of_split = _log_split(choice.split)
        clicks = logged_clicks(settings.home, files_of(settings))
        return [c for c in clicks if of_split is None or is_held_out(c.query) is of_split]
    found, _ = _graded(source, choice, home, whole=False)
    return [
        ClickedText(found.queries[query_id], found.documents[document_id])
        for query_id, grades in found.grades.items()
        for document_id, grade in grades.items()
        if grade > 0
    ]


def _graded(
    source: str, choice: Choice, home: Path | None, *, whole: bool
) -> tuple[Judged, frozenset[str]]:
    """Return a dataset with the judgments asked for, and the ids of its empty documents."""
    found, empty = _read(source, choice, home, whole=whole)
    if not choice.qrels:
        return found, empty
    grades = read_qrels(
        choice.qrels, queries=found.queries, documents=found.documents.keys() | empty
    )
    kept = {
        query_id: {d: grade for d, grade in of_query.items() if d not in empty}
        for query_id, of_query in grades.items()
    }
    return replace(found, grades=kept), empty


def _read(
    source: str, choice: Choice, home: Path | None, *, whole: bool
) -> tuple[Judged, frozenset[str]]:
    """Return a dataset as its own files have it, and the ids of its empty documents.

    With `whole`, all documents are wanted, to be searched; of MS MARCO's millions else only
    those that are named.
    """
    kind = choice.format or format_of(source)
    path = Path(source)
    match kind:
        case Format.BEIR:
            return _beir(path, choice)
        case Format.LOG:
            settings = load_settings(home=_log_home(source, home))
            found = logged_lists(settings.home, files_of(settings), _log_split(choice.split))
        case Format.MSMARCO:
            files = msmarco_files(path, choice.split)
            qrels = choice.qrels or files.qrels
            found = read_msmarco(files.collection, files.queries, qrels, choice.run, whole=whole)
        case Format.ID_TRIPLES:
            files = msmarco_files(path.parent, choice.split)
            found = read_id_triples(path, files.collection, files.queries, choice.triples)
        case _ if choice.split:
            raise InvalidRequest.of("split", f"{source} has no splits; name the part that you mean")
        case Format.JSONL:
            found = read_judged_lists(path)
        case Format.TEXT_TRIPLES:
            found = read_text_triples(path, choice.triples)
        case Format.IRDS:
            found = read_irds(source.removeprefix(IRDS))
    return found, frozenset()


def _beir(folder: Path, choice: Choice) -> tuple[Judged, frozenset[str]]:
    if choice.split and choice.qrels:
        raise InvalidRequest.of("split", "of this layout is a file of qrels; give one of the two")
    judgments = f"qrels/{choice.split}.tsv" if choice.split else JUDGMENTS
    collection = load_beir(folder, judgments_file=None if choice.qrels else judgments)
    candidates = load_run(collection, folder) if not choice.run else None
    queries = collection.queries
    if choice.split:
        # queries.jsonl holds the queries of all splits.
        queries = {q: text for q, text in queries.items() if q in collection.judgments}
    documents = {d: text_of(collection, d) for d in collection.documents}
    ranked = {q: found for q, found in (candidates or {}).items() if q in queries}
    return (
        Judged(queries, documents, collection.judgments, ranked),
        frozenset(collection.empty_documents),
    )


def _log_home(source: str, home: Path | None) -> Path | None:
    named = source.removeprefix(LOG)
    return Path(named) if named else home


def _log_split(split: str | None) -> bool | None:
    """Return whether the queries that retraining holds out are meant; None for all."""
    if split not in {None, "train", "test"}:
        raise InvalidRequest.of("split", f'is "{split}", a log has "train" and "test"')
    return None if split is None else split == "test"


def _searched(judged: Judged, depth: int) -> Judged:
    """Return `judged` with BM25's best documents as candidates."""
    if len(judged.documents) > MOST_SEARCHED:
        raise InvalidRequest.of(
            "run",
            f"{len(judged.documents)} documents are too many to search in memory "
            f"({MOST_SEARCHED} at most); give a TREC run",
        )
    documents = {d: Document(t.id, t.title, t.text) for d, t in judged.documents.items()}
    collection = Collection(documents, judged.queries, judged.grades)
    return replace(judged, candidates=lexical_candidates(collection, depth))
