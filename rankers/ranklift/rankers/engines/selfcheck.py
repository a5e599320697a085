"""An engine is held against the reference before it serves, on pairs that are always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.agreement import agreement
from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Pair
from ranklift.rankers.engines.base import Engine
from ranklift.rankers.templates import Template

PAIRS = 24
MIDDLING = 128  # tokens of the longest pair but one
LONGEST = 512
SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far scores may be off.

    `error` is the largest difference allowed, in standard deviations of the
    reference's scores over the checked pairs; `kendall_tau` the lowest rank
    agreement, over all of them as one list.
    """

    error: float
    kendall_tau: float


# Several times what right engines show on trained and on random models (fp32 3e-6, bf16 0.01 to
# 0.05); the approximate GELU instead of the exact one is off by 4e-3.
TOLERANCES = {
    "fp32": Tolerance(error=1e-4, kendall_tau=0.99),
    "bf16": Tolerance(error=0.25, kendall_tau=0.9),
}
# Differences below this share of a score, or of 1, are rounding of fp32 sums, however alike the
# reference's scores are.
ROUNDING = 2e-6


def check_pairs(template: Template, words: int, max_tokens: int) -> list[Pair]:
    """Return pairs from the shortest to the longest that a model of `words` token ids reads.

    Documents share more and more tokens with their query, so that a trained
    model tells them apart.
    """
    rng = np.random.default_rng(SEED)
    special = {*template.before, *template.between, template.closing}
    known = np.array([word for word in range(words) if word not in special])
    shortest, longest = template.length + 2, min(max_tokens, LONGEST)
    lengths = np.geomspace(shortest, min(longest, MIDDLING), PAIRS).round().astype(int)
    lengths[-1] = longest
    pairs = []
    for length, shared in zip(rng.permutation(lengths), np.linspace(0, 1, PAIRS), strict=True):
        room = int(length) - template.length
        query = rng.choice(known, size=min(room // 2, int(rng.integers(1, 12))))
        document = rng.choice(known, size=room - len(query))
        repeated = rng.random(len(document)) < shared
        document[repeated] = rng.choice(query, size=int(repeated.sum()))
        head = (*template.before, *query.tolist(), *template.between)
        pairs.append(Pair((*head, *document.tolist(), template.closing), len(head)))
    return pairs


def why_off(engine: Engine, pairs: Sequence[Pair], expected: Values) -> str:
    """Return why the scores of `engine` are not those `expected` of its numerics, "" if they are.

    `expected` are the reference engine's, in fp32.
    """
    tolerance = TOLERANCES[engine.numerics]
    found = engine.scores(pairs)
    if not np.isfinite(found).all():
        return "its scores are not finite"
    measured = agreement([expected], [found])
    rounding = ROUNDING * max(1.0, float(np.abs(expected).max()))
    allowed = tolerance.error * float(expected.std()) + rounding
    if measured.max_error > allowed:
        return f"its scores are off by {measured.max_error:.2g}, more than {allowed:.2g}"
    if expected.std() > rounding and measured.kendall_tau < tolerance.kendall_tau:
        return f"Kendall tau is {measured.kendall_tau:.3f}, less than {tolerance.kendall_tau}"
    return ""
