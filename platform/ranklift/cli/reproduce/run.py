"""A run on the synthetic world: rates first, then every seed, table by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ranklift.cli.output import bar
from ranklift.cli.reproduce.distributions import Distribution
from ranklift.cli.reproduce.experiments import Experiment, Student, Teacher
from ranklift.cli.reproduce.results import Result
from ranklift.cli.reproduce.side_by_side import make
from ranklift.cli.reproduce.speed import Speed
from ranklift.cli.reproduce.systems import (
    CPT_SFT,
    System,
    cpt_sft,
    depth_systems,
    loss_systems,
    teacher_systems,
)
from ranklift.cli.reproduce.tuning import Tuned, choose
from ranklift.cli.reproduce.workshop import Workshop

TEACHERS, LOSSES, DEPTHS, SPEED, DISTRIBUTIONS = "abcde"
TABLES = (TEACHERS, LOSSES, DEPTHS, SPEED, DISTRIBUTIONS)


@dataclass(frozen=True, slots=True)
class Group:
    """What systems did, seed by seed, at the rates they took; `failures` by system and seed."""

    systems: tuple[str, ...]
    tuned: Mapping[str, Tuned]
    experiments: Mapping[tuple[str, int], Experiment]
    results: tuple[Result, ...]
    failures: Mapping[tuple[str, int], str]
    distributions: Mapping[str, tuple[Distribution, ...]]

    @property
    def best(self) -> str | None:
        """The system that did best on the tuning seeds, where rates were tried."""
        reached = {
            name: max(each.tried.values()) for name, each in self.tuned.items() if each.tried
        }
        return max(reached, key=reached.__getitem__, default=None)

    def sound(self, seeds: Sequence[int]) -> list[int]:
        """Return the seeds on which no training broke down."""
        return [seed for seed in seeds if all(seed != failed for _, failed in self.failures)]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found; a table that was not asked for is empty."""

    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    groups: Mapping[str, Group] = field(default_factory=dict)  # by table
    speeds: tuple[Speed, ...] = ()
    teacher: tuple[Distribution, ...] = ()


def run(workshop: Workshop, seeds: Sequence[int], tables: Sequence[str], jobs: int) -> Findings:
    """Return what the experiments of the given tables found, made now or before.

    So many seeds are made side by side; the measurement of speed is alone.
    """
    scale = workshop.training.scale
    groups: dict[str, Group] = {}
    if TEACHERS in tables:
        teachers = teacher_systems(scale)
        groups[TEACHERS] = measure(workshop, "(a) teachers", teachers, seeds, jobs)
    taught = {LOSSES, DEPTHS, SPEED, DISTRIBUTIONS} & set(tables)
    if not taught:
        return Findings(tuple(seeds), scale.tuning_seeds, groups)
    teacher = _teacher_of(workshop, jobs)
    if {LOSSES, DISTRIBUTIONS} & taught:
        systems = loss_systems(scale, teacher)
        groups[LOSSES] = measure(workshop, "(b) losses", systems, seeds, jobs)
    if {DEPTHS, SPEED} & taught:
        systems = depth_systems(scale, teacher)
        groups[DEPTHS] = measure(workshop, "(c) depths", systems, seeds, jobs)
    speeds: tuple[Speed, ...] = ()
    if SPEED in tables and (sound := groups[DEPTHS].sound(seeds)):
        students = {
            f"student, {name}": experiment
            for (name, seed), experiment in groups[DEPTHS].experiments.items()
            if seed == sound[0] and isinstance(experiment, Student)
        }
        speeds = workshop.speeds({"teacher": teacher(sound[0]), **students})
    spread: tuple[Distribution, ...] = ()
    if DISTRIBUTIONS in tables:
        sound = groups[LOSSES].sound(seeds)
        spread = tuple(workshop.distribution(teacher(seed)) for seed in sound)
    return Findings(tuple(seeds), scale.tuning_seeds, groups, speeds, spread)


def measure(
    workshop: Workshop, title: str, systems: Sequence[System], seeds: Sequence[int], jobs: int
) -> Group:
    """Choose the rates of systems on the tuning seeds, and measure them on all others."""
    tuned = _rates_of(workshop, f"{title}: rates", systems, jobs)
    experiments = {
        (system.name, seed): system.at(seed, tuned[system.name].rate if system.rates else 0.0)
        for seed in seeds
        for system in systems
    }
    by_seed = {seed: [experiments[system.name, seed] for system in systems] for seed in seeds}
    with bar(title) as progress:
        make(workshop, by_seed, jobs, progress.update)
    measured = {key: workshop.measure(experiment) for key, experiment in experiments.items()}
    spread: dict[str, tuple[Distribution, ...]] = {}
    for (name, _), each in measured.items():
        if each.distribution is not None:
            spread[name] = (*spread.get(name, ()), each.distribution)
    return Group(
        systems=tuple(system.name for system in systems),
        tuned=tuned,
        experiments=experiments,
        results=tuple(
            Result(name, f"seed {seed}", each.figures) for (name, seed), each in measured.items()
        ),
        failures={key: each.failed for key, each in measured.items() if each.failed},
        distributions=spread,
    )


def _teacher_of(workshop: Workshop, jobs: int) -> Callable[[int], Teacher]:
    """Return the teacher of a seed's students, at the rate that does best."""
    scale = workshop.training.scale
    system = System(CPT_SFT, partial(cpt_sft, scale), scale.teacher_rates)
    tuned = _rates_of(workshop, "the students' teacher: rates", [system], jobs)
    return lambda seed: cpt_sft(scale, seed, tuned[CPT_SFT].rate)


def _rates_of(
    workshop: Workshop, title: str, systems: Sequence[System], jobs: int
) -> dict[str, Tuned]:
    with bar(title) as progress:
        return choose(
            systems,
            workshop.training.scale.tuning_seeds,
            lambda by_seed: make(workshop, by_seed, jobs, progress.update),
            lambda experiment: workshop.measure(experiment).figures,
        )
