"""Point-MSE: the teacher's scores themselves."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import cleared, mean_of_lists


def point_mse(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 3 -> ()
    """Squared distance to the teacher's score.

        L_point = mean_i (s_i - t_i)^2

    The mean is over the documents of a list, then over lists. DisRanker
    (arXiv 2411.04539), stage 3.
    """
    squares = cleared(scores - targets, mask).square()
    return mean_of_lists(squares.sum(1) / mask.sum(1).clamp(min=1), mask.any(1))
