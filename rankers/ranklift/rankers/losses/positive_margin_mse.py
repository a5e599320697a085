"""Margin-MSE as published: the teacher's margins between positives and negatives."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import best, both, cleared, differences, mean_of_lists


def positive_margin_mse(
    scores: Tensor, targets: Tensor, mask: Tensor, *, positives: Tensor | None = None
) -> Tensor:  # (queries, list) x 3 or 4 -> ()
    """Squared distance to the teacher's margin, over (positive, negative) pairs of a list.

        L = mean_{p, n} ((s_p - s_n) - (t_p - t_n))^2

    `positives` are true where a document is known to be relevant; without them
    they are the documents that the teacher puts first. All others are
    negatives, and no margin between two positives or two negatives is learnt:
    unlike `margin_mse` this is no function of the errors' variance. The mean is
    over pairs, then over lists. Hofstaetter et al. 2020, arXiv 2010.02666.
    """
    chosen = best(targets, mask) if positives is None else positives & mask
    pairs = both(chosen, mask & ~chosen)
    squares = differences(cleared(scores - targets, mask)).square() * pairs
    count = pairs.sum((1, 2))  # (queries,)
    return mean_of_lists(squares.sum((1, 2)) / count.clamp(min=1), count > 0)
