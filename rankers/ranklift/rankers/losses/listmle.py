"""ListMLE: the likelihood of the order that the targets ask for."""

from __future__ import annotations

from torch import Tensor

from ranklift.rankers.losses.masked import (
    better,
    both,
    cleared,
    differences,
    hidden,
    mean_of_lists,
)


def listmle(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 3 -> ()
    """Negative log-likelihood of the targets' order when documents are drawn one by one.

        L = - sum_i [ s_i - log sum_{k: y_k <= y_i} exp(s_k) ]

    The sum is over the documents that are better than at least one other; the
    mean is over lists. Without ties, and with 0 for the last one drawn, that is
    Xia et al., "Listwise Approach to Learning to Rank", ICML 2008. Documents of
    equal targets compete in the same draw (Breslow's rule for ties in survival
    times), and of the order of the lowest nothing is asked.
    """
    scores = cleared(scores, mask)
    drawn_from = (differences(targets) >= 0) & both(mask, mask)
    chances = scores - hidden(scores.unsqueeze(1), drawn_from).logsumexp(2)
    known = better(targets, mask).any(2)
    return mean_of_lists(-cleared(chances, known).sum(1), known.any(1))
