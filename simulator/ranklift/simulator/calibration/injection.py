"""A true lift, planted: the arm shows what control shows, and users like it more.

Two amounts do it: one is added to the log odds that a result attracts, so that PageCTR has the
lift; one to the log odds that a clicked result satisfies, so that dwell per click has it too.
PageCTR is about a page's first click, before which nothing can satisfy, so the first amount does
not depend on the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from ranklift.simulator.calibration.truths import for_truth, shown_in
from ranklift.simulator.compact import Script
from ranklift.simulator.shown import Shown
from ranklift.simulator.truth import TrueMetrics, metrics_of_shown
from ranklift.simulator.world import side_by_side
from ranklift.v1.errors import InvalidRequest

# Beyond odds of e^3 times as many hardly any lift is left to be had.
_LARGEST = 3.0
_EXACT = 1e-7  # of the amounts; a lift is about as exact


def with_lift(script: Script, lift: float) -> Script:
    """Return the world with `lift` in PageCTR and in dwell per click; its arms showed the same.

    Where users react, the lift is that of the pages they would have planned.

    Raises:
        InvalidRequest: users cannot like results that much more, or less.
    """
    if lift == 0:
        return script
    world, control = for_truth(script.world), shown_in(script, 0)
    before = metrics_of_shown(world, control)

    def lifted(attraction: float, satisfaction: float) -> TrueMetrics:
        return metrics_of_shown(world, liked(control, attraction, satisfaction))

    attraction = _solved(
        lambda amount: lifted(amount, 0.0).page_ctr / before.page_ctr - 1, lift, "PageCTR"
    )
    satisfaction = _solved(
        lambda amount: lifted(attraction, amount).dwell_per_click / before.dwell_per_click - 1,
        lift,
        "dwell per click",
    )
    arm = liked(control, attraction, satisfaction)
    return replace(script, shown=side_by_side([control, arm]))


def liked(shown: Shown, attraction: float, satisfaction: float) -> Shown:
    """Return results that attract and satisfy more, by these amounts of log odds."""
    with np.errstate(divide="ignore"):
        satisfied = expit(logit(shown.satisfaction) + satisfaction)
    return replace(shown, log_odds=shown.log_odds + attraction, satisfaction=satisfied)


def _solved(lift_at: Callable[[float], float], lift: float, what: str) -> float:
    low, high = (lift_at(end) - lift for end in (-_LARGEST, _LARGEST))
    if not low < 0 < high:
        raise InvalidRequest.of(
            "lift",
            f"{lift:g} cannot be had in {what} in this world; it can be {low + lift:+.3g} to "
            f"{high + lift:+.3g}",
        )
    return float(brentq(lambda a: lift_at(a) - lift, -_LARGEST, _LARGEST, xtol=_EXACT))
