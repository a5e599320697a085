"""Lists with the scores of one teacher, of several together, or those that a file brings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ranklift.cli.lessons import Lesson
from ranklift.cli.train.options import ref_of
from ranklift.clicks.query_text import normalised
from ranklift.rankers.artefacts import load_ranker, read_manifest
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.jsonl import read_judged_lists, read_target_lists
from ranklift.rankers.scores import Member, score_ensemble, score_lists
from ranklift.rankers.training.loop import Progress
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef
from ranklift.v1.errors import InvalidRequest

# For teachers that read everything, as BM25 does.
MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Taught:
    """Lists with teachers' scores, and who they are: folders by name, and the digest of them all.

    `grades` are the judgments of the lists' documents, 0 where nobody judged. `computed` and
    `found` count scores, `damaged` names files of scores that could not be read and were set
    aside. Scores that a file brought have no teachers here.
    """

    lists: tuple[RankingList, ...]
    grades: tuple[tuple[float, ...], ...]
    refs: tuple[ModelRef, ...] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)
    digest: str = ""
    computed: int = 0
    found: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def hit_rate(self) -> float:
        """The share of scores that were found in the cache, in [0, 1]."""
        return self.found / max(1, self.computed + self.found)


def longest_read(registry: Registry, teachers: Sequence[str]) -> int:
    """Return the most tokens that one of `teachers` reads, 0 where all read everything.

    Raises:
        NotFound, InvalidRequest: as `taught_by`.
    """
    versions = [registry.models.get(weighted_ref(each)[0]) for each in teachers]
    return max((read_manifest(Path(each.uri)).max_tokens for each in versions), default=0)


def taught_by(
    registry: Registry,
    teachers: Sequence[str],
    lists: Sequence[RankingList],
    cache: Path,
    progress: Progress,
) -> Taught:
    """Return `lists` with the scores of `teachers`, "model@version" or "model@version=weight".

    Raises:
        NotFound: one of them is not registered.
        InvalidRequest: a weight is no number above 0.
    """
    weighted = [weighted_ref(each) for each in teachers]
    versions = [registry.models.get(ref) for ref, _ in weighted]
    folders = [Path(version.uri) for version in versions]
    rankers = [load_ranker(folder) for folder in folders]
    if len(versions) == 1:
        digest = versions[0].digest
        one = score_lists(rankers[0], digest, lists, cache, progress=progress)
        scored, computed, found, damaged = one.lists, one.computed, one.found, one.damaged
    else:
        members = [
            Member(ranker, version.digest, weight)
            for ranker, version, (_, weight) in zip(rankers, versions, weighted, strict=True)
        ]
        several = score_ensemble(members, lists, cache, progress=progress)
        digest = several.digest
        scored, computed, found = several.lists, several.computed, several.found
        damaged = several.damaged
    return Taught(
        lists=scored,
        grades=tuple(each.targets for each in lists),
        refs=tuple(version.ref for version in versions),
        folders={
            str(version.ref): folder for version, folder in zip(versions, folders, strict=True)
        },
        digest=digest,
        computed=computed,
        found=found,
        damaged=damaged,
    )


def taught_in(file: Path, lesson: Lesson) -> Taught:
    """Return the lists of a file with the targets that it brings, but for the lesson's test part.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line is wrong, or a document has no target.
    """
    tested = {normalised(lesson.judged.queries[query_id]) for query_id in lesson.test}
    learnt = [
        (each, graded.targets)
        for each, graded in zip(
            read_target_lists(file), read_judged_lists(file).lists(), strict=True
        )
        if normalised(each.query) not in tested
    ]
    return Taught(tuple(each for each, _ in learnt), tuple(grades for _, grades in learnt))


def weighted_ref(text: str) -> tuple[ModelRef, float]:
    """Return the version and the weight, 1 by default, that a --teacher names.

    Raises:
        InvalidRequest: it is not of that form, or the weight is no number above 0.
    """
    name, _, weight = text.partition("=")
    ref = ref_of("teacher", name)
    try:
        value = float(weight or 1)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidRequest.of("teacher", f'the weight in "{text}" must be a number above 0')
    return ref, value
