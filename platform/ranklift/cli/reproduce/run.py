"""A run on the synthetic world: rates first, then every seed, table by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ranklift.cli.output import bar
from ranklift.cli.reproduce.distributions import Distribution
from ranklift.cli.reproduce.experiments import Experiment, Student, Teacher
from ranklift.cli.reproduce.results import Result
from ranklift.cli.reproduce.speed import Speed
from ranklift.cli.reproduce.systems import (
    CPT_SFT,
    System,
    cpt_sft,
    depth_systems,
    loss_systems,
    teacher_systems,
)
from ranklift.cli.reproduce.tuning import Tuned, tune
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


def run(workshop: Workshop, seeds: Sequence[int], tables: Sequence[str]) -> Findings:
    """Return what the experiments of the given tables found, made now or before."""
    scale = workshop.training.scale
    groups: dict[str, Group] = {}
    teachers = teacher_systems(scale)
    if TEACHERS in tables:
        groups[TEACHERS] = measure(workshop, "(a) teachers", teachers, seeds)
    taught = {LOSSES, DEPTHS, SPEED, DISTRIBUTIONS} & set(tables)
    if not taught:
        return Findings(tuple(seeds), scale.tuning_seeds, groups)
    teacher = _teacher_of(workshop)
    if {LOSSES, DISTRIBUTIONS} & taught:
        groups[LOSSES] = measure(workshop, "(b) losses", loss_systems(scale, teacher), seeds)
    if {DEPTHS, SPEED} & taught:
        groups[DEPTHS] = measure(workshop, "(c) depths", depth_systems(scale, teacher), seeds)
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
    workshop: Workshop, title: str, systems: Sequence[System], seeds: Sequence[int]
) -> Group:
    """Choose the rates of systems on the tuning seeds, and measure them on all others."""
    tuning = workshop.training.scale.tuning_seeds
    tried = sum(len(tuning) * len(each.rates) for each in systems if len(each.rates) > 1)
    total = tried + len(seeds) * len(systems)
    tuned: dict[str, Tuned] = {}
    experiments: dict[tuple[str, int], Experiment] = {}
    with bar(title) as progress:
        done = 0

        def figures(experiment: Experiment) -> Mapping[str, float]:
            nonlocal done
            found = workshop.measure(experiment).figures
            done += 1
            progress.update(done, total)
            return found

        for system in systems:
            if system.rates:
                tuned[system.name] = tune(system, tuning, figures)
        for seed in seeds:
            for system in systems:
                rate = tuned[system.name].rate if system.rates else 0.0
                experiments[system.name, seed] = system.at(seed, rate)
                figures(experiments[system.name, seed])
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


def _teacher_of(workshop: Workshop) -> Callable[[int], Teacher]:
    """Return the teacher of a seed's students, at the rate that does best."""
    scale = workshop.training.scale
    system = System(CPT_SFT, partial(cpt_sft, scale), scale.teacher_rates)
    tuned = tune(system, scale.tuning_seeds, lambda each: workshop.measure(each).figures)
    return lambda seed: cpt_sft(scale, seed, tuned.rate)
