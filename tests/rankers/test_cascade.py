"""Cascades: who is ranked again, where everybody ends up, and what an artefact holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.artefacts import (
    MANIFEST,
    CascadePlan,
    digest_of,
    load_ranker,
    load_version,
    read_manifest,
)
from ranklift.rankers.base import Encoded, RankingList, Text, Values, score_texts
from ranklift.rankers.cascade import Cascade, best, build_cascade, coarsest, merged
from ranklift.rankers.evaluation import evaluate
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

QUERY = "cbaba ababo"
SCORES = st.floats(-20, 20, allow_subnormal=True) | st.sampled_from([0.0, -1.0, 1e-300, 5.0, 1e16])


def order_of(values: Values) -> list[int]:
    """Return the order of the reply: descending, ties as in the request."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def by_hand(first: Sequence[float], second: Sequence[float], top_k: int) -> tuple[Any, list[int]]:
    """Return the scores and the order of documents a, b, c, ... with these two scores each."""
    cheap, dear = np.array(first), np.array(second)
    top = best(cheap, top_k)
    values = merged(cheap, top, dear[top])
    return values.tolist(), order_of(values)


def test_the_best_of_the_cheap_are_ranked_again_and_stay_above_the_others() -> None:
    #             a    b    c    d    e        the cheap order is b d a e c
    cheap, dear = [3.0, 9.0, 1.0, 8.0, 2.0], [99.0, -7.0, 99.0, 4.0, 99.0]
    # b and d are ranked again: d, b. The others, whatever the dear one would say, follow.
    assert by_hand(cheap, dear, 2) == ([-8.0, -7.0, -10.0, 4.0, -9.0], [3, 1, 0, 4, 2])
    # Nobody is: the cheap scores themselves. Everybody is: the dear ones.
    assert by_hand(cheap, dear, 0) == (cheap, [1, 3, 0, 4, 2])
    for top_k in (5, 6, 1_000):
        assert by_hand(cheap, dear, top_k) == (dear, [0, 2, 4, 3, 1])


def test_ties_keep_the_order_of_the_request() -> None:
    # Who of the four at 5 is among the best two? The first two. And 1 = 1 remains so below.
    cheap, dear = [1.0, 5.0, 5.0, 1.0, 5.0, 5.0], [0.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    assert by_hand(cheap, dear, 2) == ([0.0, 2.0, 2.0, 0.0, 1.0, 1.0], [1, 2, 4, 5, 0, 3])
    many = np.array([float(i % 3) for i in range(600)])
    assert best(many, 250).tolist() == [*range(2, 600, 3), *range(1, 150, 3)]


def test_scores_that_are_close_or_huge_stay_apart() -> None:
    close = [1.0, 1.0 + 2**-52, 1.0 + 2**-51, 0.5]
    assert by_hand(close, [0, 0, 0, 2**80], 1)[1] == [2, 1, 0, 3]
    for lowest in (2.0**60, -(2.0**60), 3.4e38, -3.4e38):
        values, order = by_hand([4.0, 3.0, 2.0, 1.0], [lowest] * 4, 1)
        assert order == [0, 1, 2, 3]
        assert len(set(values)) == 4


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=40), st.integers(0, 45))
def test_scores_say_exactly_the_order_of_the_cascade(
    scores: list[tuple[float, float]], top_k: int
) -> None:
    cheap, dear = (np.array(each) for each in zip(*scores, strict=True))
    top = sorted(range(len(cheap)), key=lambda i: (-cheap[i], i))[:top_k]
    values = merged(cheap, best(cheap, top_k), dear[best(cheap, top_k)])
    rest = [i for i in range(len(cheap)) if i not in top]
    expected = [
        *sorted(top, key=lambda i: (-dear[i], i)),
        *sorted(rest, key=lambda i: (-cheap[i], i)),
    ]
    assert order_of(values) == expected
    assert np.isfinite(values).all()
    if top:
        assert values[top].tolist() == dear[top].tolist()
        assert all(values[i] < dear[top].min() for i in rest)
    for i in rest:
        for j in rest:
            assert (values[i] < values[j]) == (cheap[i] < cheap[j])


@dataclass(frozen=True)
class Read:
    """A document's text, as a pair."""

    text: str
    tokens: int = 3


@dataclass
class Counting:
    """Scores a document by the number that is its text; reads at most three characters."""

    numerics: str = "fp32"
    sign: float = 1.0
    kind: str = "bm25"

    def encode(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Encoded[Read]:
        most = max_tokens_per_document or 3
        return Encoded(
            tuple(Read(document.text[:most]) for document in documents),
            tuple(i for i, document in enumerate(documents) if len(document.text) > most),
        )

    def scores(self, pairs: Sequence[Read]) -> Values:
        return np.array([self.sign * float(pair.text) for pair in pairs])


def numbers(*texts: str) -> list[Text]:
    return [Text(str(i), "", text) for i, text in enumerate(texts)]


def test_a_list_offline_has_all_of_its_best_ranked_again() -> None:
    # The budget is for served calls.
    cascade = Cascade(Counting(), Counting("bf16", sign=-1.0), CascadePlan(2, 0.0))
    scores = score_texts(cascade, QUERY, numbers("1", "12", "99", "5555", "123456"))
    # As far as three characters go: 1, 12, 99, 555, 123. The best are 555 and 123.
    assert scores.values.tolist() == [-558.0, -557.0, -556.0, -555.0, -123.0]
    assert scores.reranked == 2
    assert scores.tokens == 5 * 3 + 2 * 3
    assert scores.truncated == (3, 4)
    assert cascade.numerics == "bf16"
    few = score_texts(cascade, QUERY, numbers("7"))
    assert (few.values.tolist(), few.reranked) == ([-7.0], 1)
    limited = score_texts(cascade, QUERY, numbers("41", "32", "2"), max_tokens_per_document=1)
    assert limited.values.tolist() == [-4.0, -3.0, -5.0]
    assert limited.truncated == (0, 1)


def test_numerics_are_the_coarsest() -> None:
    assert coarsest("fp32", "fp32") == "fp32"
    assert coarsest("bf16", "fp32") == "bf16"
    assert coarsest("fp32", "bf16", "int8") == "int8"


@pytest.fixture(scope="module")
def made(artefacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascades") / "1"
    build_cascade(artefacts["bm25"], artefacts["encoder"], folder, CascadePlan(3, 25.0))
    return folder


def test_a_cascade_ranks_with_the_rankers_it_was_made_of(
    artefacts: dict[str, Path], made: Path, documents: list[Text]
) -> None:
    cheap = score_texts(load_ranker(artefacts["bm25"]), QUERY, documents).values
    dear = score_texts(load_ranker(artefacts["encoder"]), QUERY, documents).values
    top = order_of(cheap)[:3]
    cascade = load_version(made)
    scores = score_texts(cascade, QUERY, documents)
    np.testing.assert_allclose(scores.values[top], dear[top], atol=1e-6)
    assert order_of(scores.values)[3:] == order_of(cheap)[3:]
    assert (cascade.kind, cascade.numerics) == ("cascade", "fp32")
    lists = [RankingList(QUERY, tuple(documents), (1.0, 0.0, 0.0, 0.0, 2.0, 0.0))]
    assert evaluate(cascade, lists).queries == 1


def test_the_artefact_holds_everything_and_its_digest_covers_it(
    artefacts: dict[str, Path], made: Path, tmp_path: Path, documents: list[Text]
) -> None:
    manifest = read_manifest(made)
    assert manifest.cascade == CascadePlan(3, 25.0)
    assert manifest.max_tokens == read_manifest(artefacts["encoder"]).max_tokens
    stages = digest_of(artefacts["bm25"]), digest_of(artefacts["encoder"])
    assert manifest.lineage.parents == stages
    assert (digest_of(made / "first"), digest_of(made / "second")) == stages

    def other(first: str, second: str, plan: CascadePlan) -> str:
        folder = tmp_path / f"{first}-{second}-{plan.top_k}-{plan.budget_ms}"
        build_cascade(artefacts[first], artefacts[second], folder, plan)
        return digest_of(folder)

    same = other("bm25", "encoder", CascadePlan(3, 25.0))
    assert same == digest_of(made)
    others = {
        other("bm25", "encoder", CascadePlan(4, 25.0)),
        other("bm25", "encoder", CascadePlan(3, 26.0)),
        other("encoder", "bm25", CascadePlan(3, 25.0)),
        other("bm25", "decoder", CascadePlan(3, 25.0)),
    }
    assert len(others | {same}) == 5

    copy = tmp_path / "elsewhere"
    shutil.copytree(made, copy)
    expected = score_texts(load_version(made), QUERY, documents).values
    assert score_texts(load_version(copy), QUERY, documents).values.tolist() == expected.tolist()
    shutil.rmtree(copy / "second")
    with pytest.raises(NotFound, match="second"):
        load_version(copy)


def test_manifests_of_rankers_say_nothing_of_cascades(artefacts: dict[str, Path]) -> None:
    assert "cascade" not in json.loads((artefacts["bm25"] / MANIFEST).read_text())
    assert read_manifest(artefacts["bm25"]).cascade is None


def test_where_pairs_are_scored_one_by_one_a_cascade_is_refused(made: Path) -> None:
    with pytest.raises(InvalidRequest, match="scores whole lists; name one of its stages"):
        load_ranker(made)


def test_what_is_no_cascade_is_refused(
    artefacts: dict[str, Path], made: Path, tmp_path: Path
) -> None:
    bm25, folder, plan = artefacts["bm25"], tmp_path / "new", CascadePlan(3, 25.0)
    with pytest.raises(InvalidRequest) as caught:
        build_cascade(made, artefacts["causal_lm"], folder, plan)
    assert [violation.field for violation in caught.value.violations] == ["first", "second"]
    for wrong in (CascadePlan(0, 25.0), CascadePlan(3, -1.0), CascadePlan(3, float("nan"))):
        with pytest.raises(InvalidRequest, match="must be at least"):
            build_cascade(bm25, bm25, folder, wrong)
    with pytest.raises(NotFound):
        build_cascade(bm25, tmp_path / "nowhere", folder, plan)
    assert not folder.exists()
    with pytest.raises(AlreadyExists):
        build_cascade(bm25, bm25, made, plan)
    shutil.copytree(made, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "cascade": None}))
    with pytest.raises(InvalidRequest, match="has no plan"):
        load_version(folder)
