"""LambdaLoss: pairs by what their exchange would do to NDCG."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ranklift.rankers.losses.masked import better, cleared, differences, hidden, mean_of_lists

MU = 0.0


def lambdaloss(
    scores: Tensor, targets: Tensor, mask: Tensor, mu: float = MU
) -> Tensor:  # (queries, list) x 3 -> ()
    """Logistic loss on every pair with different targets, weighted by its share of NDCG.

        L    = sum_{y_i > y_j} w_ij * log(1 + exp(-(s_i - s_j)))
        w_ij = |G_i - G_j| * (|1/D(r_i) - 1/D(r_j)| + mu * (1/D(d) - 1/D(d + 1)))
        G_i  = (2^{y_i} - 1) / ideal DCG,  D(r) = log2(1 + r),  d = |r_i - r_j|

    with r the ranks by the student's scores, through which no gradient flows.
    The sum is over the pairs of a list, the mean over lists. mu = 0 is
    LambdaRank's weighting, |delta NDCG_ij|; mu = 10 is NDCG-Loss2++, the best of
    Wang et al., "The LambdaLoss Framework for Ranking Metric Optimization",
    CIKM 2018, there with the logarithm to base 2.

    A gain is never negative: a list whose lowest target is below 0, as a
    teacher's scores are, is lifted until that is 0. Of equal scores the worse
    document is ranked first, so that the order of the input says nothing and a
    student that scores all alike still learns.
    """
    scores, targets = cleared(scores, mask), cleared(targets, mask)
    ranks = _ranks(scores.detach(), targets, mask)
    # At least 1: only a document and itself are less apart, and 1 / D(0) is infinite.
    apart = differences(ranks).abs().clamp(min=1)
    weights = differences(_gains(targets, mask)).abs() * (
        differences(_discount(ranks)).abs() + mu * (_discount(apart) - _discount(apart + 1))
    )
    pairs = better(targets, mask)
    terms = torch.where(pairs, -weights * logsigmoid(differences(scores)), 0.0)
    return mean_of_lists(terms.sum((1, 2)), pairs.any(2).any(1))


def _ranks(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:  # 1 is the best
    worst_first = targets.argsort(dim=1, stable=True)
    shown = hidden(scores, mask).gather(1, worst_first)
    order = worst_first.gather(1, shown.argsort(dim=1, descending=True, stable=True))
    return order.argsort(1).to(scores.dtype) + 1


def _gains(targets: Tensor, mask: Tensor) -> Tensor:
    lifted = targets - targets.amin(1, keepdim=True).clamp(max=0)
    gains = cleared(lifted.exp2() - 1, mask)
    ideal_ranks = torch.arange(1, gains.shape[1] + 1, device=gains.device, dtype=gains.dtype)
    ideal = (gains.sort(1, descending=True).values * _discount(ideal_ranks)).sum(1, keepdim=True)
    return gains / torch.where(ideal > 0, ideal, 1.0)


def _discount(ranks: Tensor) -> Tensor:
    return 1 / (1 + ranks).log2()
