"""DisRanker's distillation loss: Point-MSE and Margin-MSE together."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.margin_mse import margin_mse
from ranklift.rankers.losses.point_mse import point_mse

ALPHA = 0.5


def hybrid(
    scores: Tensor, targets: Tensor, mask: Tensor, alpha: float = ALPHA
) -> Tensor:  # (queries, list) x 3 -> ()
    """DisRanker's distillation loss (arXiv 2411.04539, stage 3).

        L_hybrid = alpha * L_point + (1 - alpha) * L_margin,   0 <= alpha <= 1

    `alpha` says how hard the student is tied to the scale of the teacher's
    scores; the paper does not publish it.
    """
    return alpha * point_mse(scores, targets, mask) + (1 - alpha) * margin_mse(
        scores, targets, mask
    )
