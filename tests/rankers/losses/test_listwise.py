"""ListNet, ListMLE, ADR-MSE and InfoNCE against numbers worked by hand."""

from math import log, log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rankers.losses.lists import all_of, ragged, row
from torch.nn.functional import cross_entropy, kl_div

from ranklift.rankers.losses import adr_mse, infonce, listmle, listnet


def test_listnet_is_the_divergence_of_the_chances_to_be_first() -> None:
    # Student 1/4, 1/2, 1/4, teacher 1/2, 1/4, 1/4: 1/2 log 2 + 1/4 log(1/2) + 0.
    scores, targets = row(log(1), log(2), log(1)), row(log(2), log(1), log(1))
    assert listnet(scores, targets, all_of(scores)).item() == pytest.approx(log(2) / 4)


def test_listnet_divides_by_the_temperature_and_multiplies_by_its_square() -> None:
    scores, targets = row(log(1), log(2), log(1)), row(log(2), log(1), log(1))
    doubled = listnet(2 * scores, 2 * targets, all_of(scores), temperature=2.0)
    assert doubled.item() == pytest.approx(4 * log(2) / 4)


def test_listnet_is_torchs_divergence_of_each_list() -> None:
    lists = ragged(1)
    alone = [
        kl_div(s[m].log_softmax(0), t[m].softmax(0), reduction="sum")
        for s, t, m in zip(lists.scores, lists.targets, lists.mask, strict=True)
    ]
    loss = listnet(lists.scores, lists.targets, lists.mask)
    assert loss.item() == pytest.approx(torch.stack(alone).mean().item())


def test_listmle_is_the_likelihood_of_drawing_the_documents_in_their_order() -> None:
    # First of 4 : 2 : 1, then third of 2 : 1, then second.
    scores = row(log(4), log(2), log(1))
    loss = listmle(scores, row(3, 1, 2), all_of(scores))
    assert loss.item() == pytest.approx(-log(4 / 7 * 1 / 3 * 1))


def test_listmle_lets_equal_targets_compete_and_asks_nothing_of_the_lowest() -> None:
    scores = row(log(4), log(2), log(1), log(3))
    loss = listmle(scores, row(1, 1, 0, 0), all_of(scores))
    assert loss.item() == pytest.approx(-log(4 / 10) - log(2 / 10))


def test_listmle_sums_over_a_list_and_takes_the_mean_of_lists() -> None:
    scores = torch.cat([row(log(4), log(2), log(1)), row(0, 0, 0)])
    targets = torch.cat([row(3, 1, 2), row(1, 0, 0)])
    loss = listmle(scores, targets, all_of(scores))
    assert loss.item() == pytest.approx((-log(4 / 7 / 3) - log(1 / 3)) / 2)


def test_adr_mse_is_the_squared_error_of_ranks_discounted() -> None:
    # Chances of 3 : 1, so the ranks found are 1 + 1/4 and 1 + 3/4.
    scores = row(log(3), 0)
    loss = adr_mse(scores, row(1, 0), all_of(scores))
    assert loss.item() == pytest.approx((0.25**2 / log2(2) + 0.25**2 / log2(3)) / 2)


def test_adr_mse_divides_by_the_temperature() -> None:
    scores = row(log(9), 0)
    loss = adr_mse(scores, row(1, 0), all_of(scores), temperature=2.0)
    assert loss.item() == pytest.approx((0.25**2 / log2(2) + 0.25**2 / log2(3)) / 2)


def test_adr_mse_gives_equal_targets_the_mean_of_their_ranks() -> None:
    # Ranks 1.5, 1.5, 3; equal scores are all found at 2.
    scores = row(0, 0, 0)
    loss = adr_mse(scores, row(1, 1, 0), all_of(scores))
    assert loss.item() == pytest.approx((2 * 0.25 / log2(2.5) + 1 / log2(4)) / 3)
    assert adr_mse(scores, row(5, 5, 5), all_of(scores)).item() == 0
    apart = row(1, 0, -1)
    assert adr_mse(apart, row(5, 5, 5), all_of(apart)).item() > 0.1


def test_infonce_seeks_the_positive_among_the_negatives() -> None:
    scores = row(log(3), log(1), log(2))
    assert infonce(scores, row(1, 0, 0), all_of(scores)).item() == pytest.approx(-log(3 / 6))


def test_infonce_seeks_each_of_several_positives_by_itself() -> None:
    # 3 against 1, then 2 against 1.
    scores = row(log(3), log(1), log(2))
    expected = (-log(3 / 4) - log(2 / 3)) / 2
    assert infonce(scores, row(1, 0, 1), all_of(scores)).item() == pytest.approx(expected)
    positives = torch.tensor([[True, False, True]])
    graded = infonce(scores, row(2, 0, 1), all_of(scores), positives=positives)
    assert graded.item() == pytest.approx(expected)


def test_infonce_divides_by_the_temperature() -> None:
    scores = 2 * row(log(3), log(1), log(2))
    loss = infonce(scores, row(1, 0, 0), all_of(scores), temperature=2.0)
    assert loss.item() == pytest.approx(-log(3 / 6))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=8), st.integers(0, 7))
def test_infonce_with_one_positive_is_torchs_cross_entropy(
    numbers: list[float], place: int
) -> None:
    scores, positive = row(*numbers), place % len(numbers)
    targets = torch.zeros_like(scores)
    targets[0, positive] = 1
    expected = cross_entropy(scores, torch.tensor([positive]))
    assert infonce(scores, targets, all_of(scores)).item() == pytest.approx(
        expected.item(), abs=1e-12
    )
