"""The dependent click model: after a click, whether users read on depends on the rank.

    P(click at r | r examined)                      = a_r
    P(r + 1 examined | r examined, skipped/clicked) = 1 / lambda_r

Guo, Liu and Wang, "Efficient multiple-click models in web search", WSDM 2009.
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
class Dcm:
    """Browsing of the DCM: `continuation` is lambda after a click at ranks 1, 2, ...

    A page of n results needs n - 1 of them: nothing follows the last one.
    """

    continuation: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(0 <= p <= 1 for p in self.continuation):
            raise ValueError(f"continuation {self.continuation}, must be in [0, 1]")

    @property
    def ranks(self) -> int:
        return len(self.continuation) + 1

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
        return np.full_like(attractiveness, (*self.continuation, 0.0)[rank])


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR, max_iterations: int = 100) -> Fitted:
    """Fit by maximum likelihood (see `newton`).

    The closed form of the paper, attractiveness = clicks / impressions at or above the last
    click and 1 - continuation = last clicks / clicks at the rank, maximises a lower bound: it
    takes nothing below a last click for looked at.

    Raises:
        ValueError: as `maximise`.
    """
    last = max(log.ranks - 2, 0)  # behind it nothing follows
    formula = Formula(
        browsing=last + 1,
        pairs=log.pairs,
        satisfaction=False,
        after_skip=None,
        of_click=lambda rank: (np.clip(rank, 0, last),),
        after_click=after_click,
    )
    found = maximise(log, formula, prior, max_iterations)
    return Fitted(
        Dcm(tuple(found.browsing.value.tolist())),
        {"continuation": found.browsing},
        found.attractiveness,
        None,
        found.log_likelihood,
    )


def after_click(continuation: Any, attractiveness: Any, satisfied: Any) -> Any:
    return continuation
