"""What the tables compare: teachers, losses and depths, each at a learning rate of its own.

Where continued pre-training is left out, the paper saves its steps. Each such
system is here twice, and once fine-tuning takes those steps as well: then it is
not behind because it was trained less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ranklift.cli.reproduce.experiments import (
    Experiment,
    Language,
    Stage,
    Student,
    Teacher,
    Words,
)
from ranklift.cli.reproduce.results import Claim
from ranklift.cli.reproduce.scale import Scale


@dataclass(frozen=True, slots=True)
class System:
    """Something to be measured on every seed; without `rates` there is no rate to choose."""

    name: str
    at: Callable[[int, float], Experiment]  # (seed, learning rate)
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss by its name in the tables, and what `DistilOptions` takes for it."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


WORDS = "BM25"
SFT, LONG_SFT, CPT_SFT = "SFT", "SFT, CPT's steps too", "CPT + SFT"
TEXT_SFT, TEXT_LONG_SFT = "text + SFT", "text + SFT, CPT's steps too"
TEXT_CPT_SFT = "text + CPT + SFT"
ZERO_TEXT, ZERO_CPT = "zero-shot, text", "zero-shot, CPT"
POINT, MARGIN, HYBRID = "point", "margin", "hybrid"

# alpha = 1/2 is the hybrid of the claims, fixed before anything was measured.
PAPER = (
    Loss(POINT, {"alpha": 1.0}),
    Loss(MARGIN, {"alpha": 0.0}),
    Loss(HYBRID, {"alpha": 0.5}),
)
# The others of the zoo; what they take beside a learning rate is as in their papers.
ZOO = (
    Loss("margins to the best", {"loss": "positive_margin_mse"}),
    Loss("RankNet", {"loss": "ranknet"}),
    Loss("ListNet", {"loss": "listnet"}),
    Loss("ListMLE", {"loss": "listmle"}),
    Loss("ADR-MSE", {"loss": "adr_mse"}),
    Loss("LambdaLoss", {"loss": "lambdaloss"}),
    Loss("InfoNCE", {"loss": "infonce"}),
)
SWEEP = tuple(Loss(f"alpha {alpha:g}", {"alpha": alpha}) for alpha in (0.25, 0.75))
LOSSES = (*PAPER, *SWEEP, *ZOO)

BEATS = "CPT + SFT beats SFT alone"
READ = "where the model has read the documents' text before"
LONGER = "that takes CPT's steps too"
TEACHER_CLAIMS = (
    Claim(BEATS, CPT_SFT, (SFT,)),
    Claim(f"{BEATS} {LONGER}", CPT_SFT, (LONG_SFT,)),
    Claim(f"{BEATS} {READ}", TEXT_CPT_SFT, (TEXT_SFT,)),
    Claim(f"{BEATS} {LONGER}, {READ}", TEXT_CPT_SFT, (TEXT_LONG_SFT,)),
)
LOSS_CLAIMS = (
    Claim("hybrid beats point-only", HYBRID, (POINT,)),
    Claim("hybrid beats margin-only", HYBRID, (MARGIN,)),
)


def teacher_systems(scale: Scale) -> tuple[System, ...]:
    """Return BM25, language models that were never taught to rank, and teachers."""
    text, clicks = _text(scale), _clicks(scale, scale.language_rate)
    steps = scale.teacher_steps
    longer = steps + scale.language_steps

    def words(seed: int, _: float) -> Words:
        return Words(seed)

    def zero(stages: tuple[Stage, ...], seed: int, _: float) -> Language:
        return Language(seed, stages)

    def taught(stages: tuple[Stage, ...], steps: int, seed: int, rate: float) -> Teacher:
        return Teacher(Language(seed, stages), steps, rate)

    def system(name: str, stages: tuple[Stage, ...], steps: int) -> System:
        return System(name, partial(taught, stages, steps), scale.teacher_rates)

    return (
        System(WORDS, words),
        System(ZERO_TEXT, partial(zero, (text,))),
        System(ZERO_CPT, partial(zero, (clicks,))),
        system(SFT, (), steps),
        system(LONG_SFT, (), longer),
        System(CPT_SFT, partial(cpt_sft, scale), scale.teacher_rates),
        system(TEXT_SFT, (text,), steps),
        system(TEXT_LONG_SFT, (text,), longer),
        system(TEXT_CPT_SFT, (text, _clicks(scale, scale.continued_rate)), steps),
    )


def cpt_sft(scale: Scale, seed: int, rate: float) -> Teacher:
    """Return the teacher of all students: pre-trained on clicks, fine-tuned on judgments."""
    clicks = _clicks(scale, scale.language_rate)
    return Teacher(Language(seed, (clicks,)), scale.teacher_steps, rate)


def students_of(
    scale: Scale, teacher: Callable[[int], Teacher], loss: Loss, layers: int, name: str
) -> System:
    """Return the students of each seed's teacher with a loss, so many layers deep."""

    def at(seed: int, rate: float) -> Student:
        return Student(teacher(seed), layers, scale.student_steps, rate, loss.settings)

    return System(name, at, scale.student_rates)


def loss_systems(scale: Scale, teacher: Callable[[int], Teacher]) -> tuple[System, ...]:
    """Return students that differ in their loss alone."""
    layers = scale.student.layers
    return tuple(students_of(scale, teacher, loss, layers, loss.name) for loss in LOSSES)


def depth_systems(scale: Scale, teacher: Callable[[int], Teacher]) -> tuple[System, ...]:
    """Return students that differ in their depth alone, all with the hybrid loss."""
    hybrid = next(loss for loss in LOSSES if loss.name == HYBRID)
    return tuple(
        students_of(scale, teacher, hybrid, layers, depth_name(layers)) for layers in scale.depths
    )


def depth_name(layers: int) -> str:
    """Return what a student of so many layers is called."""
    return f"{layers} layer" + ("s" if layers > 1 else "")


def _text(scale: Scale) -> Stage:
    return Stage("documents", scale.language_steps, scale.language_rate)


def _clicks(scale: Scale, rate: float) -> Stage:
    return Stage("clicks", scale.language_steps, rate)
