"""Which learning rate a system takes: the one that does best on worlds of their own.

Alpha changes the size of a step as well as its direction, and so does every
other loss: at one rate for all, a table of losses would be a table of rates.
The rate is chosen on the held-out queries of the tuning seeds. They are in no
table: the seeds of the tables have other words, documents and queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ranklift.cli.reproduce.experiments import Experiment
from ranklift.cli.reproduce.results import LOG_PNR, mean_of
from ranklift.cli.reproduce.systems import System

# So many rates are tried beyond the edge of a grid where the best one lies there.
WIDENINGS = 2

Make = Callable[[Mapping[int, Sequence[Experiment]]], None]
Figures = Callable[[Experiment], Mapping[str, float]]


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


def choose(
    systems: Iterable[System], seeds: Sequence[int], make: Make, figures: Figures
) -> dict[str, Tuned]:
    """Return the rate of each system that has any, by its name.

    `make` is handed what has to be made before `figures` is asked. Where the
    best rate is the lowest or the highest tried, one beyond it is tried as well.
    """
    asked = [system for system in systems if system.rates]
    found: dict[str, Tuned] = {}
    for _ in range(WIDENINGS + 1):
        make({seed: [each for system in asked for each in _trials(system, seed)] for seed in seeds})
        found |= {system.name: tune(system, seeds, figures) for system in asked}
        asked = [_wider(each, found[each.name]) for each in asked if found[each.name].at_edge]
        if not asked:
            break
    return found


def tune(system: System, seeds: Sequence[int], figures: Figures) -> Tuned:
    """Return the rate of `system` with the best mean log PNR over `seeds`; of equals the lowest.

    Where there is only one rate, nothing is tried.
    """
    if len(system.rates) == 1:
        return Tuned(system.name, system.rates[0], {})
    tried = {
        rate: mean_of([figures(system.at(seed, rate))[LOG_PNR] for seed in seeds]).value
        for rate in system.rates
    }
    return Tuned(system.name, max(sorted(tried), key=tried.__getitem__), tried)


def _trials(system: System, seed: int) -> list[Experiment]:
    rates = system.rates if len(system.rates) > 1 else ()
    return [system.at(seed, rate) for rate in rates]


def _wider(system: System, tuned: Tuned) -> System:
    """Return `system` with one rate more, as far beyond the best one as that is from the next."""
    low, *_ = rates = sorted(system.rates)
    beyond = low * low / rates[1] if tuned.rate == low else rates[-1] * rates[-1] / rates[-2]
    # Without the noise of the division: the rate is part of the result's name.
    return replace(system, rates=(*system.rates, float(f"{beyond:.3g}")))
