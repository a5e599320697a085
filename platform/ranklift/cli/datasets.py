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
from enum import StrEnum
from pathlib import Path

from ranklift.cli.collections import text_of
from ranklift.cli.composition import files_of
from ranklift.cli.logged_clicks import logged_clicks, logged_lists
from ranklift.rankers.base import ClickedText
from ranklift.rankers.data.irds import read_irds
from ranklift.rankers.data.jsonl import read_judged_lists
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.lines import checked
from ranklift.rankers.data.msmarco import read_id_triples, read_msmarco, read_text_triples
from ranklift.rankers.data.trec import read_qrels, read_run
from ranklift.retrain.dataset import is_held_out
from ranklift.settings import load_settings
from ranklift.simulator.candidates import lexical_candidates, load_run
from ranklift.simulator.collections import CORPUS, JUDGMENTS, Collection, Document, load_beir
from ranklift.v1.errors import InvalidRequest, NotFound

DEPTH = 50
TRIPLES = 100_000
COLLECTION = "collection.tsv"
IRDS, LOG = "irds:", "log:"
SAY_FORMAT = "say what it is with --format"
# A first stage in memory takes some kilobytes a document.
MOST_SEARCHED = 2_000_000


class Format(StrEnum):
    """How a dataset is written."""

    BEIR = "beir"
    MSMARCO = "msmarco"
    JSONL = "jsonl"
    ID_TRIPLES = "id-triples"
    TEXT_TRIPLES = "text-triples"
    IRDS = "irds"
    LOG = "log"


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
    found, empty = _graded(source, choice, home)
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
    found, _ = _graded(source, choice, home)
    return [
        ClickedText(found.queries[query_id], found.documents[document_id])
        for query_id, grades in found.grades.items()
        for document_id, grade in grades.items()
        if grade > 0
    ]


def format_of(source: str) -> Format:
    """Return how a dataset is written, by its name and what lies there.

    Raises:
        NotFound: nothing lies there.
        InvalidRequest: it may be several things, or is none that is known.
    """
    if source.startswith(IRDS):
        return Format.IRDS
    if source.startswith(LOG):
        return Format.LOG
    path = Path(source)
    if path.is_dir():
        found = [
            kind
            for kind, there in (
                (Format.BEIR, (path / CORPUS).is_file()),
                (Format.MSMARCO, _plain_or_gzip(path / COLLECTION) is not None),
            )
            if there
        ]
        if len(found) == 1:
            return found[0]
        what = f"both {CORPUS} and {COLLECTION}" if found else f"neither {CORPUS} nor {COLLECTION}"
        raise InvalidRequest.of(source, f"holds {what}; {SAY_FORMAT}")
    if not path.is_file():
        raise NotFound.of(
            source, "does not exist; a dataset is a folder, a file, irds:NAME or log:"
        )
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return Format.JSONL
    if name.endswith(".tsv"):
        with checked(path) as lines:
            _, first = next(iter(lines), (0, ""))
        columns = first.split("\t")
        if len(columns) == 3:
            ids = all(column.isascii() and column.isdecimal() for column in columns)
            return Format.ID_TRIPLES if ids else Format.TEXT_TRIPLES
    raise InvalidRequest.of(source, f"is neither .jsonl nor a .tsv of triples; {SAY_FORMAT}")


def _graded(source: str, choice: Choice, home: Path | None) -> tuple[Judged, frozenset[str]]:
    """Return a dataset with the judgments asked for, and the ids of its empty documents."""
    found, empty = _read(source, choice, home)
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


def _read(source: str, choice: Choice, home: Path | None) -> tuple[Judged, frozenset[str]]:
    """Return a dataset as its own files have it, and the ids of its empty documents."""
    kind = choice.format or format_of(source)
    path = Path(source)
    match kind:
        case Format.BEIR:
            return _beir(path, choice)
        case Format.LOG:
            settings = load_settings(home=_log_home(source, home))
            found = logged_lists(settings.home, files_of(settings), _log_split(choice.split))
        case Format.MSMARCO:
            files = _msmarco_files(path, choice.split)
            qrels = choice.qrels or files.qrels
            found = read_msmarco(files.collection, files.queries, qrels, choice.run)
        case Format.ID_TRIPLES:
            files = _msmarco_files(path.parent, choice.split)
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


@dataclass(frozen=True, slots=True)
class _MsMarcoFiles:
    collection: Path
    queries: Path
    qrels: Path | None


def _msmarco_files(folder: Path, split: str | None) -> _MsMarcoFiles:
    """Return MS MARCO's files in a folder: queries.tsv, or queries.SPLIT.tsv, and so on."""
    collection = _plain_or_gzip(folder / COLLECTION)
    if collection is None:
        raise NotFound.of(str(folder / COLLECTION), "does not exist; the passages belong there")
    names = {path.name.removesuffix(".gz") for path in folder.glob("queries*.tsv*")}
    splits = sorted(n.removeprefix("queries").removesuffix(".tsv").lstrip(".") for n in names)
    chosen = splits[0] if split is None and len(splits) == 1 else split
    middle = f".{chosen}" if chosen else ""
    queries = _plain_or_gzip(folder / f"queries{middle}.tsv") if chosen is not None else None
    if queries is None:
        raise InvalidRequest.of(
            "split", f"{folder} has queries of {', '.join(splits) or 'no split'}; say which to read"
        )
    return _MsMarcoFiles(collection, queries, _plain_or_gzip(folder / f"qrels{middle}.tsv"))


def _plain_or_gzip(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


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
