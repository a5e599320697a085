"""Maps of scores to probabilities; none ever turns two documents around.

Temperature: sigmoid(s / T); Guo et al., "On calibration of modern neural
networks", ICML 2017. Affine: sigmoid(a s + b), a >= 0; Platt, "Probabilistic
outputs for support vector machines", 1999. Isotonic: any rising steps, joined
by lines; Zadrozny and Elkan, "Transforming classifier scores into accurate
multiclass probability estimates", KDD 2002. Isotonic makes ties where a step is
flat; a sigmoid does where it is 1 to the last digit, beyond 37.

All are fitted to `scores` and `relevant`, 0 or 1, of shape (pairs,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit

from ranklift.rankers.base import Values
from ranklift.v1.errors import InvalidRequest

# Scores that tell relevant documents from others without a fault ask for a temperature of 0.
_LOG_TEMPERATURES = (-10.0, 10.0)


class Increasing(Protocol):
    """A map of scores to probabilities that never falls."""

    def probabilities(self, scores: Values) -> Values:
        """Return a probability in [0, 1] for every score."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """sigmoid(slope * score + offset); a slope of 0 says that no rising map helps."""

    slope: float
    offset: float

    def probabilities(self, scores: NDArray[np.floating]) -> Values:
        """Return a probability in [0, 1] for every score; narrow floats are widened first."""
        found: Values = expit(self.slope * scores.astype(np.float64) + self.offset)
        return found

    @property
    def temperature(self) -> float:
        """What scores are divided by; infinite for a slope of 0."""
        return 1 / self.slope if self.slope else float("inf")

    @property
    def at_limit(self) -> bool:
        """Whether the temperature is as high as it gets: these scores need an offset."""
        return bool(np.log(self.temperature) > _LOG_TEMPERATURES[1] - 0.01)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Lines through (`scores`, `values`), both rising; level beyond their ends."""

    scores: Values
    values: Values

    def probabilities(self, scores: Values) -> Values:
        """Return a probability in [0, 1] for every score."""
        found: Values = np.interp(scores, self.scores, self.values)
        return found


AsIs = Logistic(1.0, 0.0)


def fit_temperature(scores: Values, relevant: Values) -> Logistic:
    """Return the temperature of greatest likelihood, in [e^-10, e^10].

    Raises:
        InvalidRequest: nothing, or everything, is relevant.
    """
    _check(scores, relevant)

    def loss(log_temperature: float) -> float:
        return _log_loss(scores * np.exp(-log_temperature), relevant)

    found = optimize.minimize_scalar(
        loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-8}
    )
    return Logistic(float(np.exp(-found.x)), 0.0)


def fit_affine(scores: Values, relevant: Values) -> Logistic:
    """Return the slope, at least 0, and the offset of greatest likelihood.

    Labels are drawn in a little, to (n + 1) / (n + 2) and 1 / (n + 2), as Platt
    does: perfect scores then have a finite slope.

    Raises:
        InvalidRequest: nothing, or everything, is relevant.
    """
    _check(scores, relevant)
    positive = relevant.sum()
    targets = np.where(
        relevant > 0, (positive + 1) / (positive + 2), 1 / (len(relevant) - positive + 2)
    )
    middle, unit = scores.mean(), scores.std() or 1.0
    standard = (scores - middle) / unit

    def loss(parameters: Values) -> tuple[float, Values]:
        logits = parameters[0] * standard + parameters[1]
        error = expit(logits) - targets
        return _log_loss(logits, targets), np.array([(error * standard).mean(), error.mean()])

    share = positive / len(relevant)
    found = optimize.minimize(
        loss,
        x0=np.array([1.0, np.log(share / (1 - share))]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1_000},
    )
    slope, offset = found.x
    return Logistic(float(slope / unit), float(offset - slope * middle / unit))


def fit_isotonic(scores: Values, relevant: Values) -> Isotonic:
    """Return the rising steps of least squared error, by pooling of adjacent violators.

    Raises:
        InvalidRequest: nothing, or everything, is relevant.
    """
    _check(scores, relevant)
    distinct, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores are one point: they cannot get different probabilities.
    means = np.bincount(inverse, weights=relevant) / counts
    fitted = optimize.isotonic_regression(means, weights=counts).x
    # Only the ends of steps are needed to draw them.
    keep = np.ones(len(fitted), bool)
    keep[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Isotonic(distinct[keep], np.clip(fitted[keep], 0.0, 1.0))


def _log_loss(logits: Values, targets: Values) -> float:
    # log(1 + e^z) - t z; a log of a sigmoid would lose all digits of large scores.
    return float((np.logaddexp(0.0, logits) - targets * logits).mean())


def _check(scores: Values, relevant: Values) -> None:
    if scores.shape != relevant.shape or not np.isfinite(scores).all():
        raise InvalidRequest.of("scores", "must be finite numbers, one for every label")
    if not 0 < relevant.sum() < len(relevant):
        which = "every" if relevant.any() else "no"
        raise InvalidRequest.of(
            "relevant",
            f"{which} document is relevant; calibration needs both kinds among the candidates",
        )
