"""Losses over lists of scores.

Every loss takes scores of shape (queries, list) and a mask of the same shape,
true where there is a document, and returns a scalar. The mean is over what is
really there: documents for the pointwise loss, pairs for the pairwise ones
(pooled over the batch for hinge, mean of the lists' means for margin-MSE).
"""

from __future__ import annotations

import torch
from torch import Tensor

TAU = 1.0


def margin_ranking(
    scores: Tensor, grades: Tensor, mask: Tensor, tau: float = TAU
) -> Tensor:  # (queries, list) x 3 -> ()
    """Hinge on every pair of one list with different grades.

        L_rank = mean_{y_i > y_j} max(0, tau - (s_i - s_j))

    Zero when no list holds such a pair. DisRanker (arXiv 2411.04539), rank SFT;
    tau is not published, 1 is ours.
    """
    better = grades.unsqueeze(2) > grades.unsqueeze(1)  # (queries, list, list)
    pairs = better & mask.unsqueeze(2) & mask.unsqueeze(1)
    hinge = (tau - (scores.unsqueeze(2) - scores.unsqueeze(1))).clamp(min=0)
    return torch.where(pairs, hinge, 0.0).sum() / pairs.sum().clamp(min=1)


def point_mse(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared distance to the teacher's score.

        L_point = mean_d (s_S(q, d) - s_T(q, d))^2

    The mean is over the documents of a list, then over lists.
    """
    error = torch.where(mask, scores - targets, 0.0)
    return _mean(error.square().sum(1) / mask.sum(1).clamp(min=1), mask.any(1))


def margin_mse(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared distance to the teacher's margin, over all pairs of a list.

        L_margin = mean_{i < j} ((s_i - s_j) - (t_i - t_j))^2 = 2n / (n - 1) * v

    with v the population variance of e_i = s_i - t_i over the list's n
    documents: O(n), not O(n^2). Lists of one document have no pairs and do not
    count. Hofstaetter et al. 2020, arXiv 2010.02666, there over (positive,
    negative) pairs only, which is another loss.
    """
    count = mask.sum(1)  # (queries,)
    error = torch.where(mask, scores - targets, 0.0)
    offset = error.sum(1, keepdim=True) / count.clamp(min=1).unsqueeze(1)
    deviation = torch.where(mask, error - offset, 0.0)
    # 2n / (n - 1) * (sum of squares / n)
    per_list = 2 * deviation.square().sum(1) / (count - 1).clamp(min=1)
    return _mean(per_list, count > 1)


def hybrid(scores: Tensor, targets: Tensor, mask: Tensor, alpha: float) -> Tensor:
    """DisRanker's distillation loss (arXiv 2411.04539).

        L_hybrid = alpha * L_point + (1 - alpha) * L_margin,   0 <= alpha <= 1

    `alpha` says how hard the student is tied to the scale of the teacher's
    scores; the paper does not publish it.
    """
    return alpha * point_mse(scores, targets, mask) + (1 - alpha) * margin_mse(
        scores, targets, mask
    )


def _mean(per_list: Tensor, counts: Tensor) -> Tensor:
    return torch.where(counts, per_list, 0.0).sum() / counts.sum().clamp(min=1)
