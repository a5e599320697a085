"""The hinge of rank fine-tuning."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import better, cleared, differences, mean_of_pairs

TAU = 1.0


def margin_ranking(
    scores: Tensor, grades: Tensor, mask: Tensor, tau: float = TAU
) -> Tensor:  # (queries, list) x 3 -> ()
    """Hinge on every pair of one list with different grades.

        L_rank = mean_{y_i > y_j} max(0, tau - (s_i - s_j))

    The mean is over the pairs of the whole batch. DisRanker (arXiv 2411.04539),
    rank SFT; tau is not published, 1 is ours.
    """
    hinge = (tau - differences(cleared(scores, mask))).clamp(min=0)
    return mean_of_pairs(hinge, better(grades, mask))
