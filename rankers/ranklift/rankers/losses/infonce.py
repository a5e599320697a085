"""InfoNCE: a positive found among the negatives of its list."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ranklift.rankers.losses.masked import best, cleared, hidden, mean_of_lists

TEMPERATURE = 1.0


def infonce(
    scores: Tensor,
    targets: Tensor,
    mask: Tensor,
    temperature: float = TEMPERATURE,
    *,
    positives: Tensor | None = None,
) -> Tensor:  # (queries, list) x 3 or 4 -> ()
    """Cross-entropy of each positive against all negatives of its list.

        L = mean_p -log( exp(s_p / T) / (exp(s_p / T) + sum_n exp(s_n / T)) )

    `positives` are true where a document is relevant; without them they are the
    documents with the list's highest target. There may be several: each is
    sought by itself, and they do not compete with each other. The mean is over
    the positives of a list, then over lists. Van den Oord et al. 2018,
    arXiv 1807.03748, with one positive.
    """
    chosen = best(targets, mask) if positives is None else positives & mask
    negatives = mask & ~chosen
    logits = cleared(scores, mask) / temperature
    # e^p / (e^p + sum e^n) = sigmoid(p - log sum e^n)
    against = hidden(logits, negatives).logsumexp(1, keepdim=True)
    per_positive = cleared(-logsigmoid(logits - against), chosen)
    per_list = per_positive.sum(1) / chosen.sum(1).clamp(min=1)
    return mean_of_lists(per_list, chosen.any(1) & negatives.any(1))
