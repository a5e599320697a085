"""How long users stay with what they clicked: distributions of the dwell in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri


class DwellLaw(Protocol):
    """A distribution of the dwell; `shift` is added to the mean of its logarithm."""

    def quantile(self, u: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dwell in seconds below which a share `u` in (0, 1) lies."""

    def mean_below(self, cap: float, shift: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return E[min(X, cap)] in seconds."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A dwell in seconds whose logarithm has mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    def quantile(self, u: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dwell below which a share `u` lies, with `shift` added to `mu`."""
        return np.exp(self.mu + shift + self.sigma * ndtri(u))

    def mean_below(self, cap: float, shift: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return E[min(X, cap)] with `shift` added to `mu`.

        exp(mu + sigma^2 / 2) Phi((ln cap - mu - sigma^2) / sigma)
            + cap (1 - Phi((ln cap - mu) / sigma))
        """
        mu = self.mu + np.asarray(shift, dtype=np.float64)
        z = (np.log(cap) - mu) / self.sigma
        below = np.exp(mu + self.sigma**2 / 2) * ndtr(z - self.sigma)
        return np.asarray(below + cap * ndtr(-z))


SATISFIED_DWELL = LogNormal(4.3, 1.0)
UNSATISFIED_DWELL = LogNormal(2.3, 1.1)
