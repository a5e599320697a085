"""The dynamic Bayesian network: users read down until a result satisfies them, or they give up.

    P(click at r | r examined)                        = a_r
    P(satisfied by r | r clicked)                     = s_r
    P(r + 1 examined | r examined, [not] satisfied)   = 0 [gamma]

Chapelle and Zhang, "A dynamic Bayesian network click model for web search
ranking", WWW 2009.
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
class Dbn:
    """Browsing of the DBN: `continuation` is gamma, by default one of a web-search engine."""

    continuation: float = 0.84

    def __post_init__(self) -> None:
        if not 0 <= self.continuation <= 1:
            raise ValueError(f"continuation {self.continuation}, must be in [0, 1]")

    @property
    def ranks(self) -> None:
        return None

    def sample(self, results: Results) -> Sample:
        """Return what users do, each result drawn from its own key."""
        return chain.sample(results, self.continuation, self._after_click)

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return P(click at the rank | clicks above), shape (pages, ranks)."""
        return chain.conditional(
            attractiveness, satisfaction, clicked, self.continuation, self._after_click
        )

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank) whatever is clicked above, shape (pages, ranks)."""
        return chain.marginal(attractiveness, satisfaction, self.continuation, self._after_click)

    def _after_click(self, rank: int, attractiveness: Floats, satisfied: Floats) -> Floats:
        return np.asarray(after_click(self.continuation, attractiveness, satisfied))


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR, max_iterations: int = 100) -> Fitted:
    """Fit by maximum likelihood (see `newton`).

    Raises:
        ValueError: as `maximise`.
    """
    formula = Formula(
        browsing=1,
        pairs=log.pairs,
        satisfaction=True,
        after_skip=0,
        of_click=lambda rank: (0,),
        after_click=after_click,
    )
    found = maximise(log, formula, prior, max_iterations)
    return Fitted(
        Dbn(float(found.browsing.value[0])),
        {"continuation": found.browsing},
        found.attractiveness,
        found.satisfaction,
        found.log_likelihood,
    )


def after_click(continuation: Any, attractiveness: Any, satisfied: Any) -> Any:
    return continuation * (1 - satisfied)
