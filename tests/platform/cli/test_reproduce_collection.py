"""Runs on a collection: what is learnt from, what is not, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from ranklift.cli.collections import Ground
from ranklift.cli.pseudo_lists import pseudo_lists
from ranklift.cli.reproduce.collection import (
    COSINE,
    LABELS,
    TEACHER,
    WORDS,
    CollectionRun,
    content_digest,
    distilled,
)
from ranklift.cli.reproduce.collection_students import CollectionScale, parted
from ranklift.cli.reproduce.fusion import Fusion, Standard, fit_fusion, fusion_of
from ranklift.cli.reproduce.results import NDCG_10
from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.backbones import Size, new_encoder
from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.bm25 import BM25, collect
from ranklift.rankers.data.splits import folds
from ranklift.rankers.evaluation import compare, evaluate
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.simulator.candidates import lexical_candidates
from ranklift.simulator.collections import Collection, Document
from ranklift.v1.errors import InvalidRequest

TINY = Size(layers=2, width=32, heads=2, feed_forward=64)
SCALE = CollectionScale(
    folds=3, depth=10, made_up=12, documents=5, portion=5, max_tokens=32, bi_encoder_tokens=32,
    layers=(2, 1),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def ground_of(queries: Mapping[str, str], judgments: Mapping[str, Mapping[str, int]]) -> Ground:
    """Return queries over 30 documents, each of which says two of six words."""
    words = "amber birch cedar delta ember flint".split()  # noqa: SIM905
    rng = np.random.default_rng(1)
    documents = {}
    for i in range(30):
        said = [
            words[i % 6],
            words[(i // 6 + i) % 6],
            *(f"filler{n}" for n in rng.integers(9, size=9)),
        ]
        documents[f"d{i}"] = Document(f"d{i}", "", " ".join(said))
    collection = Collection(documents, queries, judgments)
    return Ground(collection, lexical_candidates(collection, SCALE.depth))


QUERIES = {f"q{i}": f"{a} and {b}" for i, (a, b) in enumerate(
    (a, b) for a in ("amber", "birch", "cedar") for b in ("delta", "ember", "flint", "birch")
)}  # fmt: skip
JUDGMENTS = {q: {f"d{(5 * i + k) % 30}": 1 for k in range(8)} for i, q in enumerate(QUERIES)}


@pytest.fixture(scope="module")
def ground() -> Ground:
    return ground_of(QUERIES, JUDGMENTS)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, ground: Ground) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    tokenizer: PreTrainedTokenizerBase = train_tokenizer(
        (text.body for text in ground.texts()), 200
    )
    encoder = new_encoder(TINY, tokenizer, 32, seed=1)
    with torch.no_grad():  # fresh weights are so small that all texts look alike
        for weight in encoder.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    save(encoder, tokenizer, folder)
    return folder


@dataclass
class Memory:
    """Keeps results in memory and models in a folder; `made` are the keys of what was made."""

    root: Path
    made: list[str] = field(default_factory=list)
    _known: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    def model(self, key: Mapping[str, Any]) -> Path:
        return self.root / str(abs(hash(str(key))))

    def recall(
        self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any]:
        if str(key) not in self._known:
            self._known[str(key)] = make()
            self.made.append(str(key))
        return dict(self._known[str(key)])


def test_every_system_is_measured_on_the_same_lists_and_made_once(
    tmp_path: Path, ground: Ground, pretrained: Path
) -> None:
    memory = Memory(tmp_path)
    run = CollectionRun("small", ground, pretrained, pretrained, memory, SCALE)
    results = run.results(0)
    systems = [WORDS, COSINE, TEACHER, LABELS, distilled(2), distilled(1)]
    assert [(each.system, each.unit) for each in results] == [(name, "fold 1") for name in systems]

    words = evaluate(BM25(collect(ground.texts())), run.test_lists(0), judgments=run.judgments(0))
    assert results[0].figures[NDCG_10] == pytest.approx(words.ndcg[10].value)

    made = len(memory.made)
    pooled = CollectionRun("small", ground, pretrained, pretrained, memory, SCALE).pooled([0])
    assert len(memory.made) == made == len(systems)
    assert {name: each.ndcg[10].value for name, each in pooled.items()} == {
        each.system: pytest.approx(each.figures[NDCG_10]) for each in results
    }
    difference = compare(pooled[WORDS], pooled[WORDS])[1]
    assert (difference.lower, difference.upper) == (0, 0)


def test_another_collection_of_the_same_name_gets_figures_of_its_own(
    tmp_path: Path, ground: Ground, pretrained: Path
) -> None:
    judged = {q: {f"d{i}": 1 - grades.get(f"d{i}", 0) for i in range(30)}
              for q, grades in JUDGMENTS.items()}  # fmt: skip
    memory = Memory(tmp_path)
    words = []
    for each in (ground, ground_of(QUERIES, judged), ground):
        run = CollectionRun("small", each, pretrained, pretrained, memory, SCALE)
        words.append(run.results(0)[1].figures)
    assert words[0] == words[2] != words[1]
    assert len(memory.made) == 2 * 6


def test_whatever_of_a_collection_changes_its_digest_does(ground: Ground) -> None:
    collection = ground.collection
    document = collection.documents["d3"]
    others = [
        replace(collection, documents={**collection.documents, "d3": replace(document, title="x")}),
        replace(collection, queries={**QUERIES, "q0": "amber or delta"}),
        replace(collection, judgments={**JUDGMENTS, "q0": {"d0": 2}}),
    ]
    found = [content_digest(Ground(each, ground.candidates)) for each in (collection, *others)]
    turned = {q: ids[::-1] for q, ids in ground.candidates.items()}
    found.append(content_digest(Ground(collection, turned)))
    assert len(set(found)) == 5
    assert found[0] == content_digest(ground_of(QUERIES, JUDGMENTS))


def test_nothing_is_learnt_from_test_queries(
    tmp_path: Path, ground: Ground, pretrained: Path
) -> None:
    tested = set(folds(QUERIES, SCALE.folds)[0].test)
    # Test queries that ask for the opposite, with all judgments turned round.
    judged = {
        q: {f"d{i}": 1 - grades.get(f"d{i}", 0) for i in range(30)} if q in tested else grades
        for q, grades in JUDGMENTS.items()
    }
    other = ground_of(QUERIES, judged)
    assert other.lists(tested) != ground.lists(tested)
    digests = []
    for name, each in (("as is", ground), ("turned", other)):
        run = CollectionRun("small", each, pretrained, pretrained, Memory(tmp_path / name), SCALE)
        digests.append([digest_of(run.student(1, 0)), digest_of(run.labelled(0))])
    assert digests[0] == digests[1]
    # The same change to a training query is learnt.
    run = CollectionRun("small", other, pretrained, pretrained, Memory(tmp_path / "another"), SCALE)
    same = CollectionRun("small", ground, pretrained, pretrained, Memory(tmp_path / "as is"), SCALE)
    assert digest_of(run.labelled(1)) != digest_of(same.labelled(1))


def test_lists_of_made_up_queries_leave_out_their_source_and_judge_nothing(ground: Ground) -> None:
    lists = pseudo_lists(ground, 25, depth=10, documents=5, seed=3)
    assert len(lists) == 25
    assert not {each.query for each in lists} & set(QUERIES.values())
    for each in lists:
        assert 4 <= len(each.documents) <= 5
        assert set(each.targets) == {0.0}
        assert not any(each.query in document.body for document in each.documents)


def test_the_fusion_by_hand() -> None:
    fusion = Fusion(Standard(0.5, 0.1), Standard(10.0, 4.0), weight=0.25)
    (scores,) = fusion.scores([np.array([0.5, 0.7])], [np.array([14.0, 10.0])])
    assert scores.tolist() == pytest.approx([0.25, 1.5])


def test_the_fusion_takes_as_much_of_bm25_as_judgments_ask_for() -> None:
    rng = np.random.default_rng(5)
    judged = [
        RankingList("q", tuple(Text(f"d{i:02}", "", "") for i in range(20)), tuple(grades))
        for grades in rng.integers(0, 2, (40, 20)).astype(float).tolist()
    ]
    right = [np.array(each.targets) for each in judged]
    noise = [rng.normal(size=20) for _ in judged]
    assert fit_fusion(right, noise, judged).weight == 0
    assert fit_fusion(noise, right, judged).weight == 0.5
    with pytest.raises(InvalidRequest, match="all the same"):
        fusion_of([np.ones(3)], [np.arange(3.0)])


def test_portions_hold_every_document_once() -> None:
    ranking = RankingList(
        "q", tuple(Text(f"d{i}", "", "") for i in range(11)), tuple(map(float, range(11)))
    )
    parts = list(parted(ranking, 5, np.random.default_rng(1)))
    assert [len(part.documents) for part in parts] == [5, 5]  # the eleventh alone has no order
    pairs = [(d.id, t) for part in parts for d, t in zip(part.documents, part.targets, strict=True)]
    assert len(set(pairs)) == 10
    assert all(d == f"d{int(t)}" for d, t in pairs)
