"""What an arm does to its users beyond its ranking: an injected lift, novelty, primacy.

    effect(t) = log_odds * (1 + novelty * exp(-t / fades_after))

is added to the log odds of attraction of all results of a page that a user sees t after the first
one. Users keep their arm, so t counts from the user's first page in the world: that is the first
one in the arm, as an experiment that covers the whole world assigns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.results import Floats
from ranklift.simulator.checks import refuse
from ranklift.simulator.users import MICROSECOND, Pages, Users
from ranklift.simulator.world import World


@dataclass(frozen=True, slots=True)
class Effect:
    """A lift of the log odds, `log_odds` once users are used to the arm.

    At first it is 1 + `novelty` times that: +1 for something new that people try out, -0.5 for
    something they have to learn (primacy). Both and the five days are assumed; that user learning
    of this kind is found by following users since their first exposure: Sadeghi et al., "Novelty
    and primacy: a long-term estimator for online experiments", arXiv 2102.12893.
    """

    log_odds: float
    novelty: float = 0.0
    fades_after: timedelta = timedelta(days=5)

    def __post_init__(self) -> None:
        checks = {
            "log_odds": (abs(self.log_odds) < np.inf, "a number"),
            "novelty": (abs(self.novelty) < np.inf, "a number"),
            "fades_after": (self.fades_after > timedelta(0), "longer than 0"),
        }
        refuse("effect", self, checks)

    def at(self, since_us: NDArray[np.int64]) -> Floats:
        """Return what is added to the log odds so many microseconds after the first page."""
        fading = np.exp(-since_us / (self.fades_after / MICROSECOND))
        return np.asarray(self.log_odds * (1 + self.novelty * fading))


STEADY = Effect(1.0)  # all of it at once, and for good


def affected(
    world: World,
    users: Users,
    pages: Pages,
    effects: Sequence[Effect | None],
    arm: NDArray[np.int64],
) -> Users:
    """Return the users of `pages` under the effect of their arm, an index into `effects`."""
    log_propensity = users.log_propensity
    for number, effect in enumerate(effects):
        if effect is None:
            continue
        (rows,) = (arm == number).nonzero()
        if log_propensity is users.log_propensity:
            log_propensity = log_propensity.copy()
        log_propensity[rows] += _of(world, pages[rows], effect)
    return replace(users, log_propensity=log_propensity)


def _of(world: World, pages: Pages, effect: Effect) -> Floats | float:
    if not effect.novelty:
        return effect.log_odds
    who, row = np.unique(pages.user, return_inverse=True)
    return effect.at(pages.time_us - world.first_pages(who).time_us[row])
