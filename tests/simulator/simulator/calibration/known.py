"""Experiments whose statistics are known in closed form: an estimate that is normal."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ranklift.simulator.calibration.readout import Reading, Readings


@dataclass(frozen=True)
class NormalExperiment:
    """log(1 + lift) is estimated with a normal error of standard deviation `error`, and tested by
    z as if that were `claimed`."""

    truth: float = 0.0  # of log(1 + lift)
    error: float = 0.01
    claimed: float = 0.01

    def __call__(self, number: int) -> Readings:
        estimate = self.truth + self.error * np.random.default_rng([7, number]).standard_normal()
        half = 1.959964 * self.claimed
        return Readings(
            {
                "metric": Reading(
                    lift=float(np.expm1(estimate)),
                    lower=float(np.expm1(estimate - half)),
                    upper=float(np.expm1(estimate + half)),
                    p_value=float(2 * norm.sf(abs(estimate) / self.claimed)),
                )
            }
        )

    def power(self, alpha: float = 0.05) -> float:
        z, distance = norm.isf(alpha / 2), self.truth / self.error
        return float(norm.cdf(distance - z) + norm.cdf(-distance - z))
