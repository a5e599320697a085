"""A cascade: a cheap ranker orders all documents, a dearer one orders the best of them again.

What is left of the cheap order stays below what was ranked again. A cascade is
a model version of its own: its artefact holds both stages whole, so that its
digest says everything about how it ranks.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ranklift.rankers.artefacts import (
    CascadePlan,
    Lineage,
    Manifest,
    digest_of,
    load_ranker,
    new_artefact,
    read_manifest,
)
from ranklift.rankers.base import Ranker, Scores, Text, Values, score_texts
from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

FIRST, SECOND = "first", "second"
RANKERS = ("bm25", "encoder", "decoder", "bi_encoder")
FINEST_LAST = ("int8", "bf16", "fp32")

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Cascade:
    """Two rankers and how they share a list."""

    first: Ranker[Any]
    second: Ranker[Any]
    plan: CascadePlan
    kind: ClassVar[str] = "cascade"

    @property
    def numerics(self) -> str:
        return coarsest(self.first.numerics, self.second.numerics)

    def score_list(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Scores:
        """Return the scores of `documents`: all of the best `top_k` are ranked again.

        Raises:
            NotFinite: a score is not finite.
        """
        limit = max_tokens_per_document
        first = score_texts(self.first, query, documents, max_tokens_per_document=limit)
        top = best(first.values, self.plan.top_k)
        second = score_texts(
            self.second, query, [documents[i] for i in top], max_tokens_per_document=limit
        )
        return Scores(
            values=merged(first.values, top, second.values),
            tokens=first.tokens + second.tokens,
            truncated=cut_by_either(first.truncated, top, second.truncated),
            tokenize_seconds=first.tokenize_seconds + second.tokenize_seconds,
            inference_seconds=first.inference_seconds + second.inference_seconds,
            reranked=len(top),
        )


def best(values: Values, count: int) -> Positions:
    """Return the positions of the `count` highest values, best first; ties by position."""
    return (-values).argsort(kind="stable")[:count]


def merged(first: Values, top: Positions, second: Values) -> Values:
    """Return the scores of a list whose positions `top` have been ranked again.

    The re-ranked keep the second ranker's score. Below the lowest of these, the
    others go down by one for each different score that the first ranker gave
    them: what it gave is on another scale and would mean nothing there. So the
    order of the scores is the order of the cascade, and equal remains equal.
    `first` and the result are of shape (documents,), `second` of `top`'s.
    """
    if not len(top):
        return first
    values = np.empty_like(first)
    values[top] = second
    rest = np.ones(len(first), bool)
    rest[top] = False
    lowest = second.min()
    # Among numbers beyond 2^52, one less would be the same number.
    step = max(1.0, 2 * np.spacing(abs(lowest)))
    levels, level = np.unique(first[rest], return_inverse=True)
    values[rest] = lowest - step * (len(levels) - level)
    return values


def cut_by_either(
    first: Sequence[int], top: Sequence[int] | Positions, second: Sequence[int]
) -> tuple[int, ...]:
    """Return the positions of documents that one of the rankers, or both, did not read whole."""
    return tuple(sorted({*first, *(int(top[i]) for i in second)}))


def coarsest(*numerics: str) -> str:
    """Return the coarsest of `numerics`: no ranking is finer than any score it rests on."""
    return min(numerics, key=FINEST_LAST.index)


def build_cascade(first: Path, second: Path, folder: Path, plan: CascadePlan) -> None:
    """Write the artefact of a cascade of two rankers, both of which it holds whole.

    Raises:
        InvalidRequest: a stage is no ranker by itself, or the plan cannot be.
        NotFound: a stage is not there.
        AlreadyExists: `folder` is there already.
    """
    _check(plan)
    stages = {FIRST: (first, read_manifest(first)), SECOND: (second, read_manifest(second))}
    refuse_if_any(
        Violation(name, f'"{source}" is of kind "{made.kind}", must be {", ".join(RANKERS)}')
        for name, (source, made) in stages.items()
        if made.kind not in RANKERS
    )
    manifest = Manifest(
        kind=Cascade.kind,
        numerics=coarsest(*(made.numerics for _, made in stages.values())),
        max_tokens=stages[SECOND][1].max_tokens,
        lineage=Lineage("cascade", parents=(digest_of(first), digest_of(second))),
        cascade=plan,
    )
    with new_artefact(folder, manifest) as temporary:
        for name, (source, _) in stages.items():
            shutil.copytree(source, temporary / name)


def load_cascade(folder: Path, manifest: Manifest, token_cache_tokens: int = 0) -> Cascade:
    """Return the cascade whose artefact is in `folder`; each stage has its own token cache.

    Raises:
        NotFound: a stage or one of its files is missing.
        InvalidRequest: the manifest has no plan, or a stage cannot be read.
    """
    if manifest.cascade is None:
        raise InvalidRequest.of("uri", f'"{folder}" has no plan; make the cascade again')
    _check(manifest.cascade)
    first, second = (
        load_ranker(folder / stage, token_cache_tokens=token_cache_tokens)
        for stage in (FIRST, SECOND)
    )
    return Cascade(first, second, manifest.cascade)


def _check(plan: CascadePlan) -> None:
    found = []
    if plan.top_k < 1:
        found.append(Violation("top_k", f"is {plan.top_k}, must be at least 1"))
    if not 0 <= plan.budget_ms < math.inf:
        found.append(Violation("budget_ms", f"is {plan.budget_ms}, must be at least 0"))
    refuse_if_any(found)
