"""Margin-MSE: the teacher's margins between all documents of a list."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import cleared, mean_of_lists


def margin_mse(
    scores: Tensor, targets: Tensor, mask: Tensor
) -> Tensor:  # (queries, list) x 3 -> ()
    """Squared distance to the teacher's margin, over all pairs of a list.

        L_margin = mean_{i < j} ((s_i - s_j) - (t_i - t_j))^2 = 2n / (n - 1) * v

    with v the population variance of e_i = s_i - t_i over the list's n
    documents: O(n), not O(n^2). The mean is over pairs, then over lists.
    Hofstaetter et al. 2020, arXiv 2010.02666, there over (positive, negative)
    pairs only, which is another loss: `positive_margin_mse`.
    """
    count = mask.sum(1)  # (queries,)
    error = cleared(scores - targets, mask)
    offset = error.sum(1, keepdim=True) / count.clamp(min=1).unsqueeze(1)
    deviation = cleared(error - offset, mask)
    # 2n / (n - 1) * (sum of squares / n)
    per_list = 2 * deviation.square().sum(1) / (count - 1).clamp(min=1)
    return mean_of_lists(per_list, count > 1)
