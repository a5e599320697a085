"""The click chain model: whether users read on after a click depends on how relevant it was.

    P(click at r | r examined)              = a_r
    P(r + 1 examined | r examined, skipped) = tau_1
    P(r + 1 examined | r clicked)           = tau_2 (1 - a_r) + tau_3 a_r

Attractiveness is relevance here: one number decides both. Guo, Liu, Kannan,
Minka, Taylor, Wang and Faloutsos, "Click chain model in web search", WWW 2009.
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
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.newton import maximise
from ranklift.clicks.results import Floats, Results, Sample


@dataclass(frozen=True, slots=True)
class Ccm:
    """Browsing of the CCM: whether users go on after a skip, an irrelevant and a relevant click."""

    after_skip: float
    after_irrelevant: float
    after_relevant: float

    def __post_init__(self) -> None:
        taus = (self.after_skip, self.after_irrelevant, self.after_relevant)
        if not all(0 <= p <= 1 for p in taus):
            raise ValueError(f"continuation {taus}, must be in [0, 1]")

    @property
    def ranks(self) -> None:
        return None

    def sample(self, results: Results) -> Sample:
        """Return what users do, each result drawn from its own key."""
        return chain.sample(results, self.after_skip, self._after_click)

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return P(click at the rank | clicks above), shape (pages, ranks)."""
        return chain.conditional(
            attractiveness, satisfaction, clicked, self.after_skip, self._after_click
        )

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank) whatever is clicked above, shape (pages, ranks)."""
        return chain.marginal(attractiveness, satisfaction, self.after_skip, self._after_click)

    def _after_click(self, rank: int, attractiveness: Floats, satisfied: Floats) -> Floats:
        return np.asarray(
            after_click(self.after_irrelevant, self.after_relevant, attractiveness, satisfied)
        )


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR, max_iterations: int = 100) -> Fitted:
    """Fit by maximum likelihood (see `newton`).

    Raises:
        ValueError: as `maximise`.
    """
    formula = Formula(
        browsing=3,
        pairs=log.pairs,
        satisfaction=False,
        after_skip=0,
        of_click=lambda rank: (1, 2),
        after_click=after_click,
    )
    found = maximise(log, formula, prior, max_iterations)
    names = ("after_skip", "after_irrelevant", "after_relevant")
    return Fitted(
        Ccm(*found.browsing.value.tolist()),
        {
            name: Estimate(found.browsing.value[[i]], found.browsing.error[[i]])
            for i, name in enumerate(names)
        },
        found.attractiveness,
        None,
        found.log_likelihood,
    )


def after_click(irrelevant: Any, relevant: Any, attractiveness: Any, satisfied: Any) -> Any:
    return irrelevant * (1 - attractiveness) + relevant * attractiveness
