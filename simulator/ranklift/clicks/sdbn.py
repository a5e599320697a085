"""The simplified DBN: users read down until a result satisfies them, and never give up.

    P(click at r | r examined)                        = a_r
    P(satisfied by r | r clicked)                     = s_r
    P(r + 1 examined | r examined, [not] satisfied)   = 0 [1]

Chapelle and Zhang, "A dynamic Bayesian network click model for web search
ranking", WWW 2009, where it is the simplified model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks import chain
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
        return 1 - satisfied
