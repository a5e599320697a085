"""ListNet: the teacher's distribution over a list."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import cleared, hidden, mean_of_lists

TEMPERATURE = 1.0


def listnet(
    scores: Tensor, targets: Tensor, mask: Tensor, temperature: float = TEMPERATURE
) -> Tensor:  # (queries, list) x 3 -> ()
    """Divergence of the student's from the teacher's chance of each document to be the first.

        L = T^2 * KL(softmax(t / T) || softmax(s / T))

    The mean is over lists. Cao et al., "Learning to Rank: From Pairwise Approach
    to Listwise Approach", ICML 2007, with the cross-entropy in place of KL: more
    by the teacher's entropy, with the same gradient. T^2 keeps the gradient's
    scale at any temperature (Hinton et al. 2015, arXiv 1503.02531).
    """
    student = _log_shares(scores / temperature, mask)
    teacher = _log_shares(targets / temperature, mask)
    per_list = (teacher.exp() * (teacher - student)).sum(1)
    return temperature**2 * mean_of_lists(per_list, mask.sum(1) > 1)


def _log_shares(values: Tensor, mask: Tensor) -> Tensor:
    return cleared(hidden(values, mask).log_softmax(1), mask)
