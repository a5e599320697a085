"""A/A experiments: nothing differs, so what a test finds is a false positive.

An honest test rejects as often as its level says, and its p-values are uniform (Kohavi, Tang and
Xu 2020, "Trustworthy Online Controlled Experiments", chapter 19).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranklift.simulator.calibration.rates import Rate, band, uniformity
from ranklift.simulator.calibration.readout import Readings

# A correct test fails it once in a thousand batteries, as it leaves `rates.band`.
LEAST_UNIFORMITY = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class FalsePositives:
    """What an A/A battery says of one metric's test.

    `uniformity` is the p-value of Kolmogorov and Smirnov's test. `honest`: the rejections are
    within `rates.band` and the p-values pass for uniform.
    """

    metric: str
    rejected: Rate
    uniformity: float
    honest: bool
    p_values: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AaReport:
    """What A/A experiments came to; `alarms` are the failed checks by name, `wanted` is the band
    of honest rejection rates."""

    experiments: int
    alpha: float
    wanted: tuple[float, float]
    metrics: tuple[FalsePositives, ...]
    unavailable: Mapping[str, str]
    alarms: Mapping[str, Rate]

    @property
    def honest(self) -> bool:
        return all(metric.honest for metric in self.metrics)


def aa_report(found: Sequence[Readings], *, alpha: float = 0.05) -> AaReport:
    """Return the report of at least one A/A experiment.

    A metric that any experiment cannot compute is unavailable: leaving such experiments out would
    flatter it.
    """
    wanted = band(len(found), alpha)
    missing = unavailable(found)
    metrics = []
    for metric in measured(found):
        p_values = tuple(one.metrics[metric].p_value for one in found)
        rejected, uniform = Rate.of([p < alpha for p in p_values]), uniformity(p_values)
        honest = wanted[0] <= rejected.value <= wanted[1] and uniform >= LEAST_UNIFORMITY
        metrics.append(FalsePositives(metric, rejected, uniform, honest, p_values))
    return AaReport(len(found), alpha, wanted, tuple(metrics), missing, alarms(found))


def measured(found: Sequence[Readings]) -> tuple[str, ...]:
    """Return the metrics that all experiments have, in the order of the first."""
    return tuple(name for name in found[0].metrics if all(name in one.metrics for one in found))


def unavailable(found: Sequence[Readings]) -> dict[str, str]:
    """Return why the other metrics have no numbers."""
    return {name: why for one in reversed(found) for name, why in one.unavailable.items()}


def alarms(found: Sequence[Readings]) -> dict[str, Rate]:
    """Return how often each check failed, that of the sample ratio first and always."""
    names = dict.fromkeys(("sample_ratio", *(name for one in found for name in one.alarms)))
    return {name: Rate.of([name in one.alarms for one in found]) for name in names}
