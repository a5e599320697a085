"""ADR-MSE: the teacher's ranks, the first ones most."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import better, both, cleared, differences, mean_of_lists

TEMPERATURE = 1.0


def adr_mse(
    scores: Tensor, targets: Tensor, mask: Tensor, temperature: float = TEMPERATURE
) -> Tensor:  # (queries, list) x 3 -> ()
    """Squared distance to the teacher's rank, discounted as in DCG.

        L = mean_i (r_i - rhat_i)^2 / log2(r_i + 1)
        rhat_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / T)

    Documents of equal targets share the mean of their ranks, so that equal
    scores reach them. The mean is over the documents of a list, then over
    lists. Rank-DistiLLM, arXiv 2405.07920; rhat is the approximate rank of Qin,
    Liu and Li, "A General Approximation Framework", Information Retrieval 13 (2010).
    """
    pairs = both(mask, mask)
    ahead = better(targets, mask).sum(1)  # (queries, list): how many are better than i
    level = ((differences(targets) == 0) & pairs).sum(1)  # as many, i included
    ranks = ahead + (level + 1).to(scores.dtype) / 2
    chances = (differences(cleared(scores, mask)) / temperature).sigmoid() * pairs
    # Each document is counted against itself by sigmoid(0) = 1/2.
    found = chances.sum(1) + 0.5
    squares = cleared((ranks - found).square() / (ranks + 1).log2(), mask)
    count = mask.sum(1)
    return mean_of_lists(squares.sum(1) / count.clamp(min=1), count > 1)
