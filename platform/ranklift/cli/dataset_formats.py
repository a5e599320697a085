"""Which of the formats a dataset is in, and which of MS MARCO's files belong together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ranklift.rankers.data.lines import checked
from ranklift.simulator.collections import CORPUS
from ranklift.v1.errors import InvalidRequest, NotFound

COLLECTION = "collection.tsv"
IRDS, LOG = "irds:", "log:"
SAY_FORMAT = "say what it is with --format (evaluate: --data-format)"


class Format(StrEnum):
    """How a dataset is written."""

    BEIR = "beir"
    MSMARCO = "msmarco"
    JSONL = "jsonl"
    ID_TRIPLES = "id-triples"
    TEXT_TRIPLES = "text-triples"
    IRDS = "irds"
    LOG = "log"


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


@dataclass(frozen=True, slots=True)
class MsMarcoFiles:
    """The files of one split; without judgments where there are none."""

    collection: Path
    queries: Path
    qrels: Path | None


def msmarco_files(folder: Path, split: str | None) -> MsMarcoFiles:
    """Return MS MARCO's files in a folder: queries.tsv, or queries.SPLIT.tsv, and so on.

    Raises:
        NotFound: there is no collection.
        InvalidRequest: there are no queries of this split, or of several and none was chosen.
    """
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
    return MsMarcoFiles(collection, queries, _plain_or_gzip(folder / f"qrels{middle}.tsv"))


def _plain_or_gzip(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)
