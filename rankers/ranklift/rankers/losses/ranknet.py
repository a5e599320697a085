"""RankNet: the probability that a pair is ordered as it should be."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ranklift.rankers.losses.masked import better, cleared, differences, mean_of_pairs


def ranknet(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 3 -> ()
    """Logistic loss on every pair of one list with different targets.

        L = mean_{y_i > y_j} log(1 + exp(-(s_i - s_j)))

    Targets are grades or a teacher's scores: only their order is read. The mean
    is over the pairs of the whole batch. Burges et al., "Learning to Rank using
    Gradient Descent", ICML 2005; on a teacher's order: Rank-DistiLLM, arXiv 2405.07920.
    """
    return mean_of_pairs(-logsigmoid(differences(cleared(scores, mask))), better(targets, mask))
