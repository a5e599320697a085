"""How long users stay with what they clicked: distributions of the dwell in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import (
    gamma,
    gammainc,
    gammaincc,
    gammaincinv,
    gammaln,
    log_ndtr,
    ndtr,
    ndtri,
    xlogy,
)

from ranklift.simulator.checks import refuse


class DwellLaw(Protocol):
    """A distribution of the dwell; `shift` is added to its logarithm.

    A larger `u` is a longer dwell under every law and shift, so one draw couples them all.
    """

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

    def log_density(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        z = (np.log(seconds) - self.mu) / self.sigma
        return np.asarray(-(z**2) / 2 - np.log(seconds * self.sigma * np.sqrt(2 * np.pi)))

    def log_survival(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log P(X > seconds)."""
        return np.asarray(log_ndtr((self.mu - np.log(seconds)) / self.sigma))


@dataclass(frozen=True, slots=True)
class Weibull:
    """P(X > x) = exp(-(x / scale)^shape), `scale` in seconds.

    With a shape below 1 users leave ever more slowly: they screen a page first and read it
    then. Liu, White and Dumais, "Understanding web browsing behaviors through Weibull analysis of
    dwell time", SIGIR 2010.
    """

    shape: float
    scale: float

    def quantile(self, u: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scale e^shift (-ln(1 - u))^(1 / shape)."""
        return np.asarray(self.scale * np.exp(shift) * (-np.log1p(-u)) ** (1 / self.shape))

    def mean_below(self, cap: float, shift: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the integral of P(X > x) up to the cap.

        scale Gamma(1 + 1 / shape) P(1 / shape, (cap / scale)^shape), P the regularised
        incomplete gamma function.
        """
        scale = self.scale * np.exp(np.asarray(shift, dtype=np.float64))
        below = gammainc(1 / self.shape, (cap / scale) ** self.shape)
        return np.asarray(scale * gamma(1 + 1 / self.shape) * below)

    def log_density(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = seconds / self.scale
        power = (self.shape - 1) * np.log(ratio)
        return np.asarray(np.log(self.shape / self.scale) + power - ratio**self.shape)

    def log_survival(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log P(X > seconds)."""
        return np.asarray(-((seconds / self.scale) ** self.shape))


@dataclass(frozen=True, slots=True)
class Gamma:
    """A gamma distribution of mean shape * scale, `scale` in seconds.

    Fitted to satisfied and unsatisfied clicks apart by Kim, Hassan, White and Zitouni, "Modeling
    dwell time to predict click-level satisfaction", WSDM 2014.
    """

    shape: float
    scale: float

    def quantile(self, u: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dwell below which a share `u` lies, with the scale times e^shift."""
        return np.asarray(self.scale * np.exp(shift) * gammaincinv(self.shape, u))

    def mean_below(self, cap: float, shift: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return E[min(X, cap)] with the scale times e^shift.

        shape scale P(shape + 1, cap / scale) + cap (1 - P(shape, cap / scale)), P the regularised
        incomplete gamma function.
        """
        scale = self.scale * np.exp(np.asarray(shift, dtype=np.float64))
        below = self.shape * scale * gammainc(self.shape + 1, cap / scale)
        return np.asarray(below + cap * gammaincc(self.shape, cap / scale))

    def log_density(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = seconds / self.scale
        constant = gammaln(self.shape) + np.log(self.scale)
        return np.asarray(xlogy(self.shape - 1, ratio) - ratio - constant)

    def log_survival(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log P(X > seconds)."""
        with np.errstate(divide="ignore"):  # so long a dwell that its probability is 0
            return np.log(gammaincc(self.shape, seconds / self.scale))


# Satisfied and unsatisfied. Assumed, near the 30 s threshold of Fox et al., TOIS 2005; Weibull and
# gamma have the mean and the standard deviation of log dwell of the log-normal.
SATISFIED_DWELL, UNSATISFIED_DWELL = LogNormal(4.3, 1.0), LogNormal(2.3, 1.1)
WEIBULL_DWELL = (Weibull(1.28, 115.6), Weibull(1.17, 16.4))
GAMMA_DWELL = (Gamma(1.43, 76.3), Gamma(1.24, 12.7))
# Medians of the log-normal, heavier tails: for stress.
HEAVY_DWELL = (Weibull(1.1, 103.0), Weibull(0.75, 16.3))


@dataclass(frozen=True, slots=True)
class DwellShifts:
    """What is added to log dwell besides the user's own factor.

        by_grade * (grade - mean_grade) + by_log_words * ln(words / typical_words)
            + first_click, at the first click on the page

    A first click's dwell differs from later ones' for 37 to 80 % of query-result pairs: Borisov
    et al., "A context-aware time model for web search", SIGIR 2016; dwell goes with topic, length
    and readability: Kim et al., WSDM 2014. The sizes are assumed.
    """

    by_grade: float = 0.25
    mean_grade: float = 1.0
    by_log_words: float = 0.1
    typical_words: float = 200.0
    first_click: float = 0.15

    def __post_init__(self) -> None:
        checks = {
            name: (abs(getattr(self, name)) < np.inf, "a number")
            for name in ("by_grade", "mean_grade", "by_log_words", "first_click")
        }
        checks["typical_words"] = (0 < self.typical_words < np.inf, "above 0")
        refuse("dwell_shifts", self, checks)

    def of_result(self, grade: int, words: int) -> float:
        """Return what a result adds; a document without words counts as one of one word."""
        length = np.log(max(words, 1) / self.typical_words)
        return float(self.by_grade * (grade - self.mean_grade) + self.by_log_words * length)
