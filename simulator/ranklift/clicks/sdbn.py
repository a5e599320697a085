"""The simplified DBN: users read down until a result satisfies them, and never give up.

    P(click at r | r examined)                        = a_r
    P(satisfied by r | r clicked)                     = s_r
    P(r + 1 examined | r examined, [not] satisfied)   = 0 [1]

Chapelle and Zhang, "A dynamic Bayesian network click model for web search
ranking", WWW 2009, where it is the simplified model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks import chain
from ranklift.clicks.em import NO_PRIOR, BetaPrior
from ranklift.clicks.likelihood import Formula
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Fitted
from ranklift.clicks.newton import maximise
from ranklift.clicks.results import Floats, Results, Sample


@dataclass(frozen=True, slots=True)
class Sdbn:
    """Browsing of the simplified DBN, which has no parameters: a DBN with gamma 1."""

    @property
    def ranks(self) -> None:
        return None

    def sample(self, results: Results) -> Sample:
        """Return what users do, each result drawn from its own key."""
        return chain.sample(results, 1.0, self._after_click)

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return P(click at the rank | clicks above), shape (pages, ranks)."""
        return chain.conditional(attractiveness, satisfaction, clicked, 1.0, self._after_click)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank) whatever is clicked above, shape (pages, ranks)."""
        return chain.marginal(attractiveness, satisfaction, 1.0, self._after_click)

    def _after_click(self, rank: int, attractiveness: Floats, satisfied: Floats) -> Floats:
        return np.asarray(after_click(attractiveness, satisfied))


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR, max_iterations: int = 100) -> Fitted:
    """Fit by maximum likelihood (see `newton`).

    The closed form of the paper, attractiveness = clicks / impressions at or above the last
    click and satisfaction = last clicks / clicks, takes nothing below a last click for
    looked at. That overstates both, so it only is where the search starts.

    Raises:
        ValueError: as `maximise`.
    """
    formula = Formula(
        browsing=0,
        pairs=log.pairs,
        satisfaction=True,
        after_skip=None,
        of_click=lambda rank: (),
        after_click=after_click,
    )
    found = maximise(log, formula, prior, max_iterations)
    return Fitted(Sdbn(), {}, found.attractiveness, found.satisfaction, found.log_likelihood)


def after_click(attractiveness: Any, satisfied: Any) -> Any:
    return 1 - satisfied
