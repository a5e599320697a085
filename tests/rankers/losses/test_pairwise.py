"""Hinge, RankNet and LambdaLoss against numbers worked by hand."""

from math import log, log2

import pytest
import torch
from tests.rankers.losses.lists import all_of, row
from torch import Tensor

from ranklift.rankers.losses import lambdaloss, margin_ranking, ranknet

SCORES = row(log(2), log(4), log(1))  # ranks 2, 1, 3
TARGETS = row(2, 0, 1)
# The pairs are (first, second), (first, third), (third, second), with the chances
# 2 : 4, 2 : 1 and 1 : 4, so log(1 + exp(-(s_i - s_j))) is
LOGISTIC = (log(1 + 4 / 2), log(1 + 1 / 2), log(1 + 4 / 1))


def test_margin_ranking_is_the_mean_hinge_over_pairs_of_different_grades() -> None:
    # grades 2 > 1 > 0, scores 0.5, 0.2, 0.9:
    # (2,1): 1 - 0.3 = 0.7; (2,0): 1 + 0.4 = 1.4; (1,0): 1 + 0.7 = 1.7
    scores = row(0.5, 0.2, 0.9)
    loss = margin_ranking(scores, row(2, 1, 0), all_of(scores))
    assert loss.item() == pytest.approx((0.7 + 1.4 + 1.7) / 3)


def test_margin_ranking_asks_for_no_more_than_tau() -> None:
    scores, grades = row(3, 2, 1), row(2, 1, 0)
    assert margin_ranking(scores, grades, all_of(scores), tau=1.0).item() == 0
    loss = margin_ranking(scores, grades, all_of(scores), tau=1.5)
    assert loss.item() == pytest.approx((0.5 + 0 + 0.5) / 3)


def test_ranknet_is_the_mean_logistic_loss_over_pairs_of_different_targets() -> None:
    loss = ranknet(SCORES, TARGETS, all_of(SCORES))
    assert loss.item() == pytest.approx(sum(LOGISTIC) / 3)


def test_margin_ranking_and_ranknet_pool_the_pairs_of_all_lists() -> None:
    # The second list has a single pair: it weighs a quarter, not a half.
    scores, targets = torch.cat([SCORES, row(0, 1, 9)]), torch.cat([TARGETS, row(1, 0, 9)])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    pooled = (sum(LOGISTIC) + log(1 + torch.e)) / 4
    assert ranknet(scores, targets, mask).item() == pytest.approx(pooled)
    first = margin_ranking(SCORES, TARGETS, all_of(SCORES)).item()
    assert margin_ranking(scores, targets, mask).item() == pytest.approx((3 * first + 2) / 4)


def test_lambdaloss_weighs_a_pair_by_what_its_exchange_does_to_ndcg() -> None:
    # Gains 3, 0, 1 at ranks 2, 1, 3.
    ideal = 3 + 1 / log2(3)
    changes = (3 * (1 - 1 / log2(3)), 2 * (1 / log2(3) - 1 / 2), 1 * (1 - 1 / 2))
    expected = sum(w * x for w, x in zip(changes, LOGISTIC, strict=True)) / ideal
    assert lambdaloss(SCORES, TARGETS, all_of(SCORES)).item() == pytest.approx(expected)


def test_mu_adds_what_ranks_as_far_apart_differ_at_the_top() -> None:
    # |r_i - r_j| is 1, 1, 2: 1/D(1) - 1/D(2) twice, 1/D(2) - 1/D(3) once.
    ideal = 3 + 1 / log2(3)
    steps = (3 * (1 - 1 / log2(3)), 2 * (1 - 1 / log2(3)), 1 * (1 / log2(3) - 1 / 2))
    added = sum(w * x for w, x in zip(steps, LOGISTIC, strict=True)) / ideal
    plain, more = (lambdaloss(SCORES, TARGETS, all_of(SCORES), mu) for mu in (0.0, 10.0))
    assert (more - plain).item() == pytest.approx(10 * added)


@pytest.mark.parametrize("shift", [-7.0, -3.0])
def test_lambdaloss_lifts_targets_below_0_until_the_lowest_is_0(shift: float) -> None:
    # A teacher's scores: 2^y - 1 would be a negative gain.
    expected = lambdaloss(SCORES, TARGETS, all_of(SCORES))
    assert lambdaloss(SCORES, TARGETS + shift, all_of(SCORES)).item() == expected.item()
    raised = lambdaloss(SCORES, TARGETS + 1, all_of(SCORES))
    assert raised.item() != pytest.approx(expected.item())


def test_lambdaloss_ranks_the_worse_of_equal_scores_first() -> None:
    # So the ranks are 3, 1, 2, and all pairs are even: log 2.
    level = torch.zeros_like(SCORES).requires_grad_()
    ideal = 3 + 1 / log2(3)
    changes = 3 * (1 - 1 / 2) + 2 * (1 / log2(3) - 1 / 2) + 1 * (1 - 1 / log2(3))
    loss = lambdaloss(level, TARGETS, all_of(level))
    assert loss.item() == pytest.approx(changes * log(2) / ideal)
    (gradient,) = torch.autograd.grad(loss, level)
    assert gradient[0].argsort(descending=True).tolist() == [1, 2, 0]


def test_lambdaloss_takes_the_mean_of_the_lists_that_have_pairs() -> None:
    one = lambdaloss(SCORES, TARGETS, all_of(SCORES))
    other = lambdaloss(-SCORES, TARGETS, all_of(SCORES))
    scores, targets = (
        torch.cat([SCORES, -SCORES, SCORES]),
        torch.cat([TARGETS, TARGETS, row(1, 1, 1)]),
    )
    both: Tensor = lambdaloss(scores, targets, all_of(scores))
    assert both.item() == pytest.approx((one.item() + other.item()) / 2)
