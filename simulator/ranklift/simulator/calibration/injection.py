"""A true lift, planted: the arm shows what control shows, and users like it more.

Two amounts do it: one is added to the log odds that a result attracts, so that PageCTR has the
lift; one to the log odds that a clicked result satisfies, so that dwell per click has it too.
PageCTR is about a page's first click, before which nothing can satisfy, so the first amount does
not depend on the second.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from ranklift.simulator.calibration.experiment import two_arms
from ranklift.simulator.calibration.truths import for_truth, shown_in
from ranklift.simulator.compact import Script
from ranklift.simulator.shown import Shown
from ranklift.simulator.truth import effect_for, metrics_of_shown
from ranklift.simulator.world import Rankings, World, side_by_side
from ranklift.v1.errors import InvalidRequest

_MOST = 5.0  # log odds: hardly anything is left to be had beyond
_EXACT = 1e-9


def with_lift(world: World, rankings: Rankings, lift: float) -> Script:
    """Return the world with an arm whose true lift in PageCTR and dwell per click is `lift`.

    Where users react, the lift is that of the pages they would have planned.

    Raises:
        InvalidRequest: a query has no ranking, or no arm can have such a lift in this world.
    """
    script = two_arms(world, rankings, rankings)
    if lift == 0:
        return script
    planned, control = for_truth(world), shown_in(script, 0)
    attraction = effect_for(planned, rankings, lift).log_odds
    before = metrics_of_shown(planned, control).dwell_per_click

    def missing(satisfaction: float) -> float:
        shown = liked(control, attraction, satisfaction)
        return metrics_of_shown(planned, shown).dwell_per_click / before - 1 - lift

    least, most = missing(-_MOST), missing(_MOST)
    if not least < 0 < most:
        raise InvalidRequest.of(
            "lift",
            f"{lift} is none that dwell per click can have in this world; it can have "
            f"{least + lift:.4f} to {most + lift:.4f}",
        )
    arm = liked(control, attraction, float(brentq(missing, -_MOST, _MOST, xtol=_EXACT)))
    return replace(script, shown=side_by_side([control, arm]))


def liked(shown: Shown, attraction: float, satisfaction: float) -> Shown:
    """Return results that attract and satisfy more, by these amounts of log odds."""
    with np.errstate(divide="ignore"):
        satisfied = expit(logit(shown.satisfaction) + satisfaction)
    return replace(shown, log_odds=shown.log_odds + attraction, satisfaction=satisfied)
