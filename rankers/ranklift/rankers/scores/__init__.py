"""Teachers' scores of ranking lists: computed once, kept by content, combined.

lists --scoring--> cache of one teacher's scores --ensemble--> targets of a student
"""

from ranklift.rankers.scores.cache import ScoreCache
from ranklift.rankers.scores.ensemble import (
    EnsembleScored,
    Member,
    Scale,
    ensemble_digest,
    scale_of,
    score_ensemble,
    weighted_mean,
)
from ranklift.rankers.scores.scoring import Scored, score_lists

__all__ = [
    "EnsembleScored",
    "Member",
    "Scale",
    "ScoreCache",
    "Scored",
    "ensemble_digest",
    "scale_of",
    "score_ensemble",
    "score_lists",
    "weighted_mean",
]
