"""Which learning rate a system takes: the one that does best on worlds of their own.

Alpha changes the size of a step as well as its direction, and so does every
other loss: at one rate for all, a table of losses would be a table of rates.
The rate is chosen on the held-out queries of the tuning seeds. They are in no
table: the seeds of the tables have other words, documents and queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ranklift.cli.reproduce.experiments import Experiment
from ranklift.cli.reproduce.results import LOG_PNR, mean_of
from ranklift.cli.reproduce.systems import System


@dataclass(frozen=True, slots=True)
class Tuned:
    """A system's rate, and the mean log PNR of all that were tried."""

    system: str
    rate: float
    tried: Mapping[float, float]

    @property
    def at_edge(self) -> bool:
        """Whether a rate outside of those tried might do better still."""
        return bool(self.tried) and self.rate in (min(self.tried), max(self.tried))


def trials(system: System, seed: int) -> list[Experiment]:
    """Return what has to be made on a tuning seed before a rate can be chosen."""
    rates = system.rates if len(system.rates) > 1 else ()
    return [system.at(seed, rate) for rate in rates]


def tune(
    system: System,
    seeds: tuple[int, ...],
    figures: Callable[[Experiment], Mapping[str, float]],
) -> Tuned:
    """Return the rate of `system` with the best mean log PNR over `seeds`; of equals the lowest.

    Where there is only one rate, nothing is tried.
    """
    if len(system.rates) == 1:
        return Tuned(system.name, system.rates[0], {})
    found = {
        (seed, rate): figures(system.at(seed, rate))[LOG_PNR]
        for seed in seeds
        for rate in system.rates
    }
    tried = {rate: mean_of([found[seed, rate] for seed in seeds]).value for rate in system.rates}
    return Tuned(system.name, max(sorted(tried), key=tried.__getitem__), tried)
