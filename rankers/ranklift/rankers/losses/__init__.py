"""Losses over lists of scores, a file each.

A loss is `loss(scores, targets, mask) -> scalar`. All three have the shape
(queries, list); the mask is true where there is a document, and what stands
elsewhere, be it NaN, has no influence and a gradient of 0. Scores are logits in
fp32 (fp64 works too); targets are grades or a teacher's scores, higher is
better, and no gradient flows through them.

The mean is over what is really there: for `margin_ranking` and `ranknet` over
the pairs of the whole batch, for all others within a list first and then over
the lists that say something. What says nothing adds nothing, to the sum or to
what it is divided by; without anything to learn from a loss is 0, with a
gradient of 0. A list says something when it has

    point_mse                                       a document
    margin_mse, listnet, adr_mse                    two documents; of equal targets
                                                    these three ask for equal scores
    margin_ranking, ranknet, lambdaloss, listmle    two different targets
    positive_margin_mse, infonce                    a positive and a negative

and `hybrid` is the sum of its two parts, each by its own rule.
"""

from __future__ import annotations

from ranklift.rankers.losses.adr_mse import adr_mse
from ranklift.rankers.losses.hinge import TAU, margin_ranking
from ranklift.rankers.losses.hybrid import hybrid
from ranklift.rankers.losses.infonce import infonce
from ranklift.rankers.losses.lambdaloss import lambdaloss
from ranklift.rankers.losses.listmle import listmle
from ranklift.rankers.losses.listnet import listnet
from ranklift.rankers.losses.margin_mse import margin_mse
from ranklift.rankers.losses.point_mse import point_mse
from ranklift.rankers.losses.positive_margin_mse import positive_margin_mse
from ranklift.rankers.losses.ranknet import ranknet

__all__ = [
    "TAU",
    "adr_mse",
    "hybrid",
    "infonce",
    "lambdaloss",
    "listmle",
    "listnet",
    "margin_mse",
    "margin_ranking",
    "point_mse",
    "positive_margin_mse",
    "ranknet",
]
