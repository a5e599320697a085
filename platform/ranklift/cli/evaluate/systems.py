"""What is evaluated: model versions, folders of models, and runs of other engines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.composition import registry_of
from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.cli.evaluate.runs import run_scores
from ranklift.rankers.artefacts import digest_of, load_version
from ranklift.rankers.base import Values, score_texts
from ranklift.settings import load_settings
from ranklift.store.values import ModelRef
from ranklift.v1.errors import InvalidRequest

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a system's scores come from: the folder of a model, or the file of a run."""

    name: str
    path: Path
    digest: str

    @property
    def is_run(self) -> bool:
        """Whether its scores are read, not computed."""
        return self.path.is_file()


@dataclass(frozen=True, slots=True)
class Scored:
    """A system's scores of every list, arrays of shape (documents,)."""

    source: Source
    scores: Sequence[Values]
    note: str = ""


def find_sources(names: Sequence[str], home: Path | None) -> list[Source]:
    """Return what is to be evaluated, before anything is scored.

    Raises:
        InvalidRequest, NotFound: a name is given twice, or is no model version, folder or file.
    """
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice:
        raise InvalidRequest.of("systems", f'"{twice}" is there twice; name it once')
    return [_source(name, home) for name in names]


def _source(name: str, home: Path | None) -> Source:
    path = Path(name)
    if path.is_file():
        return Source(name, path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    if path.is_dir():
        return Source(name, path, digest_of(path))
    try:
        ref = ModelRef.parse(name)
    except ValueError:
        raise InvalidRequest.of(
            "systems",
            f'"{name}" is neither model@version, nor the folder of a model, nor a TREC run',
        ) from None
    with registry_of(load_settings(home=home)) as registry:
        version = registry.models.get(ref)
    return Source(name, Path(version.uri), version.digest)


def score(source: Source, ground: JudgedLists, advance: Advance) -> Scored:
    """Return a system's scores; `advance` is told how many lists of how many are done.

    Raises:
        NotFound, InvalidRequest: as `load_version` and `run_scores`.
        NotFinite: a score is not finite.
    """
    if source.is_run:
        scores, note = run_scores(source.path, ground)
        advance(len(scores), len(scores))
        return Scored(source, scores, note)
    ranker = load_version(source.path)
    scores = []
    for done, each in enumerate(ground.lists, start=1):
        scores.append(score_texts(ranker, each.query, each.documents).values)
        advance(done, len(ground.lists))
    return Scored(source, scores)
