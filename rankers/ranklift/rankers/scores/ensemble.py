"""Several teachers as one: the weighted mean of their standardised scores.

    s(q, d) = sum_m w_m * (s_m(q, d) - mean_m) / deviation_m,    sum_m w_m = 1

Mean and deviation are over all lists: per query, the offset between queries
would be lost. Members may be of any kind and scale, BM25 among them. Each
member's own scores are in the cache under its own digest, so that another
choice of members or weights computes nothing again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranklift.rankers.artefacts import lists_digest
from ranklift.rankers.base import Ranker, RankingList, Values
from ranklift.rankers.scores.scoring import Scored, score_lists
from ranklift.rankers.training.loop import Progress, no_progress
from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

# Of the largest score: what fp32 models tell apart is a hundred times more.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Member:
    """A teacher, the digest of its artefact, and its weight, more than 0."""

    ranker: Ranker[Any]
    digest: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation (population) of one member's scores over all lists."""

    digest: str
    weight: float
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class EnsembleScored:
    """Lists with the ensemble's scores as targets, and what they were made of.

    `digest` names the ensemble where a teacher's digest would stand. `computed`
    and `found` are sums over members.
    """

    lists: tuple[RankingList, ...]
    digest: str
    scales: tuple[Scale, ...]
    computed: int
    found: int
    damaged: tuple[str, ...] = ()


def score_ensemble(
    members: Sequence[Member],
    lists: Sequence[RankingList],
    cache: Path,
    *,
    progress: Progress = no_progress,
) -> EnsembleScored:
    """Return `lists` with the scores of all `members` together.

    The scales are written to `cache` beside the scores, as JSON named by the
    ensemble's digest and the lists'. `progress` counts lists, once for each member.

    Raises:
        InvalidRequest: there are no members, one is there twice, a weight is not
            more than 0, or a member gives all pairs the same score.
        NotFinite: a score is not finite.
    """
    _check(members)
    total = len(members) * len(lists)
    scored: list[Scored] = []
    for before, member in enumerate(members):

        def shown(done: int, _: int, before: int = before) -> None:
            progress(before * len(lists) + done, total)

        scored.append(score_lists(member.ranker, member.digest, lists, cache, progress=shown))
    flat = [_flat(each.lists) for each in scored]
    scales = tuple(
        scale_of(member.digest, member.weight, values)
        for member, values in zip(members, flat, strict=True)
    )
    digest = ensemble_digest([(member.digest, member.weight) for member in members])
    _keep_scales(cache / digest.replace(":", "-"), lists, scales)
    means = iter(weighted_mean(scales, flat).tolist())
    return EnsembleScored(
        lists=tuple(
            RankingList(each.query, each.documents, tuple(next(means) for _ in each.documents))
            for each in lists
        ),
        digest=digest,
        scales=scales,
        computed=sum(each.computed for each in scored),
        found=sum(each.found for each in scored),
        damaged=tuple(name for each in scored for name in each.damaged),
    )


def ensemble_digest(members: Sequence[tuple[str, float]]) -> str:
    """Return "sha256:<hex>" over the members' digests and shares of the weight, in any order."""
    total = math.fsum(weight for _, weight in members)
    shares = sorted((digest, weight / total) for digest, weight in members)
    return f"sha256:{hashlib.sha256(json.dumps(['ensemble', shares]).encode()).hexdigest()}"


def scale_of(digest: str, weight: float, scores: Values) -> Scale:  # scores: (pairs,)
    """Return the scale of one member's scores.

    Raises:
        InvalidRequest: all are the same, or there are none: they say nothing.
    """
    deviation = float(scores.std()) if len(scores) else 0.0
    # What equal numbers deviate by is the rounding of their mean.
    if not deviation > ROUNDING * max(1.0, float(np.abs(scores).max(initial=0.0))):
        raise InvalidRequest.of(
            "members", f"the scores of {digest} are all the same; leave this teacher out"
        )
    return Scale(digest, weight, float(scores.mean()), deviation)


def weighted_mean(scales: Sequence[Scale], scores: Sequence[Values]) -> Values:
    """Return the ensemble's scores, shape (pairs,), of its members' scores, (pairs,) each."""
    total = math.fsum(scale.weight for scale in scales)
    standardised = [
        scale.weight / total * (values - scale.mean) / scale.deviation
        for scale, values in zip(scales, scores, strict=True)
    ]
    mean: Values = np.sum(standardised, axis=0)
    return mean


def _check(members: Sequence[Member]) -> None:
    found = [] if members else [Violation("members", "is empty; name at least one teacher")]
    digests = [member.digest for member in members]
    for i, member in enumerate(members):
        if digests.index(member.digest) < i:
            found.append(Violation(f"members[{i}]", f"{member.digest} is there already"))
        if not 0 < member.weight < math.inf:
            found.append(
                Violation(f"members[{i}].weight", f"is {member.weight}, must be more than 0")
            )
    refuse_if_any(found)


def _flat(lists: Sequence[RankingList]) -> Values:
    return np.array([target for each in lists for target in each.targets], np.float64)


def _keep_scales(folder: Path, lists: Sequence[RankingList], scales: Sequence[Scale]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = lists_digest(lists).replace(":", "-")
    content = json.dumps({"members": [asdict(scale) for scale in scales]}, indent=2)
    partial = folder / f"{name}.partial"
    partial.write_text(content + "\n", "utf-8")
    partial.rename(folder / f"{name}.json")
