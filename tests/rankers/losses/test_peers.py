"""The losses against sentence-transformers' of the same name, on one model: values and gradients.

Where theirs is scaled or averaged in another way, the test says how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.cross_encoder import CrossEncoder
from sentence_transformers.cross_encoder import losses as theirs
from torch import Tensor

from ranklift.rankers.losses import (
    adr_mse,
    infonce,
    lambdaloss,
    listmle,
    listnet,
    point_mse,
    positive_margin_mse,
    ranknet,
)

# The longer list has 6 pairs of different grades, the shorter one 3.
QUERIES = ["cbaba ababo", "cbabe abade"]
DOCUMENTS = [
    ["cbaba fbaba", "cbabi abade fbabo", "ababo", "fbade fbadu cbabo abadu"],
    ["fbafi abafi", "cbabu", "abado cbaba"],
]
GRADES = [[1.0, 3.0, 0.0, 2.0], [0.0, 2.0, 1.0]]
TEACHER = [[0.3, 1.9, -1.2, 0.8], [-0.6, 1.1, 0.2]]


def side_by_side(lists: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(lists), batch_first=True)


GRADED = side_by_side([torch.tensor(each) for each in GRADES])
TAUGHT = side_by_side([torch.tensor(each) for each in TEACHER])
MASK = side_by_side([torch.ones(len(each), dtype=torch.bool) for each in GRADES])
PLACES = ("classifier.weight", "word_embeddings.weight")
LISTS = [QUERIES, DOCUMENTS]
LABELS = [torch.tensor(each) for each in GRADES]


@pytest.fixture(scope="module")
def model(artefacts: dict[str, Path]) -> CrossEncoder:
    loaded: CrossEncoder = CrossEncoder(str(artefacts["encoder"]), local_files_only=True)
    return loaded


@pytest.fixture
def scores(model: CrossEncoder) -> Tensor:  # (queries, list)
    pairs = [
        (q, each) for q, documents in zip(QUERIES, DOCUMENTS, strict=True) for each in documents
    ]
    flat: Tensor = model(model.preprocess(pairs))["scores"].view(-1)
    assert flat.std() > 0.05  # else any two losses would agree
    return torch.zeros(MASK.shape).masked_scatter(MASK, flat)


def gradient(model: CrossEncoder, loss: Tensor) -> Tensor:
    """Return what flows into the head's weights and the word embeddings."""
    weights = [p for n, p in model.named_parameters() if n.endswith(PLACES)]
    found = torch.autograd.grad(loss, weights, retain_graph=True)
    assert len(found) == 2
    assert all(each.abs().max() > 0 for each in found)
    return torch.cat([each.flatten() for each in found])


@pytest.fixture
def assert_same(model: CrossEncoder) -> Callable[[Tensor, Tensor], None]:
    def check(expected: Tensor, ours: Tensor) -> None:
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            gradient(model, ours), gradient(model, expected), rtol=1e-4, atol=1e-6
        )

    return check


Same = Callable[[Tensor, Tensor], None]


def test_point_mse_of_one_list_is_mse(
    model: CrossEncoder, scores: Tensor, assert_same: Same
) -> None:
    # Theirs is the mean over all documents, ours over those of a list first.
    expected = theirs.MSELoss(model)([QUERIES[:1] * 4, DOCUMENTS[0]], torch.tensor(TEACHER[0]))
    assert_same(expected, point_mse(scores[:1], TAUGHT[:1], MASK[:1]))


def test_positive_margin_mse_is_margin_mse(
    model: CrossEncoder, scores: Tensor, assert_same: Same
) -> None:
    # Theirs names the positive by its column: the second document, best for both teachers.
    columns = [[documents[place] for documents in DOCUMENTS] for place in (1, 0, 2)]
    labels = TAUGHT[:, [1, 0, 2]]
    expected = theirs.MarginMSELoss(model)([QUERIES, *columns], labels)
    three = scores[:, :3], TAUGHT[:, :3], MASK[:, :3]
    assert_same(expected, positive_margin_mse(*three))


def test_ranknet_is_theirs_with_the_natural_logarithm(
    model: CrossEncoder, scores: Tensor, assert_same: Same
) -> None:
    natural = theirs.RankNetLoss(model, reduction_log="natural")
    assert_same(natural(LISTS, LABELS), ranknet(scores, GRADED, MASK))
    binary = theirs.RankNetLoss(model)  # their default
    assert_same(binary(LISTS, LABELS) * log(2), ranknet(scores, GRADED, MASK))


@pytest.mark.parametrize(
    ("mu", "scheme"),
    [
        (0.0, theirs.LambdaRankScheme()),
        (10.0, theirs.NDCGLoss2PPScheme()),
        (2.5, theirs.NDCGLoss2PPScheme(mu=2.5)),
    ],
    ids=["LambdaRank", "NDCGLoss2++", "NDCGLoss2++ of 2.5"],
)
def test_lambdaloss_is_theirs_in_sums_of_lists(
    model: CrossEncoder, scores: Tensor, assert_same: Same, mu: float, scheme: Any
) -> None:
    # Theirs is the mean over the 9 pairs of both lists; ours the mean of 2 lists' sums.
    expected = theirs.LambdaLoss(model, weighting_scheme=scheme, reduction_log="natural")
    assert_same(expected(LISTS, LABELS) * 9 / 2, lambdaloss(scores, GRADED, MASK, mu))


def test_listnet_is_theirs_less_the_entropy_of_the_targets(
    model: CrossEncoder, scores: Tensor, assert_same: Same
) -> None:
    entropies = [-(each.softmax(0) * each.log_softmax(0)).sum() for each in LABELS]
    expected = theirs.ListNetLoss(model)(LISTS, LABELS) - torch.stack(entropies).mean()
    assert_same(expected, listnet(scores, GRADED, MASK))


def test_listmle_without_ties_is_theirs(
    model: CrossEncoder, scores: Tensor, assert_same: Same
) -> None:
    # Theirs takes the order of the input for that of the labels unless told otherwise, and does so
    # among equal labels in any case.
    expected = theirs.ListMLELoss(model, respect_input_order=False)(LISTS, LABELS)
    assert_same(expected, listmle(scores, GRADED, MASK))


@pytest.mark.parametrize("grades", [GRADES, [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_adr_mse_of_one_list_is_theirs_ties_included(
    model: CrossEncoder,
    scores: Tensor,
    assert_same: Same,
    grades: list[list[float]],
    temperature: float,
) -> None:
    # Theirs is the mean over all documents, ours over those of a list first; its alpha is 1 / T.
    loss = theirs.ADRMSELoss(model, alpha=1 / temperature)
    for i, each in enumerate(grades):
        labels = torch.tensor(each)
        expected = loss([QUERIES[i : i + 1], DOCUMENTS[i : i + 1]], [labels])
        shown = scores[i : i + 1, : len(each)]
        ours = adr_mse(shown, labels[None], torch.ones_like(shown, dtype=torch.bool), temperature)
        assert_same(expected, ours)


@pytest.mark.parametrize("scale", [1, 2])
def test_infonce_is_their_multiple_negatives_ranking(
    model: CrossEncoder, scores: Tensor, assert_same: Same, scale: int
) -> None:
    # Theirs squashes the logits unless told otherwise and multiplies them by `scale`. Of a single
    # query there are no negatives but those of its list.
    loss = theirs.MultipleNegativesRankingLoss(
        model, num_negatives=None, scale=scale, activation_fn=None
    )
    columns = [[DOCUMENTS[0][place]] for place in (1, 0, 2, 3)]
    ours = infonce(scores[:1], GRADED[:1], MASK[:1], temperature=1 / scale)
    assert_same(loss([QUERIES[:1], *columns], torch.empty(0)), ours)
