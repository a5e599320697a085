"""How large a demo is: the worlds, the training, the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from ranklift.simulator.synthetic import FULL, QUICK, SyntheticSize


@dataclass(frozen=True, slots=True)
class Training:
    """How long the demo's models are trained.

    Steps are of `lists` ranking lists each; retraining takes them at
    `retrain_rate`. Fine-tuning reads the judged documents of a list and
    `negatives` others. `first_students_queries` is the part of the training
    queries whose teacher scores the first student learns from: it is
    yesterday's student, and retraining on fresh traffic is to beat it.
    """

    cpt_steps: int
    sft_steps: int
    distil_steps: int
    retrain_steps: int
    lists: int
    negatives: int
    retrain_rate: float
    first_students_queries: float = 0.6


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many users there are.

    Users of the past click on what BM25 shows; the teacher's pre-training
    learns from them. Then `users` meet the first experiment and `later_users`
    the one that retraining starts.
    """

    past_users: int
    users: int
    later_users: int
    pages_per_user: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of one demo; `size` is of the made-up world, if it plays in one."""

    training: Training
    traffic: Traffic
    size: SyntheticSize


QUICK_PLAN = Plan(
    Training(
        cpt_steps=320,
        sft_steps=480,
        distil_steps=350,
        retrain_steps=300,
        lists=8,
        negatives=3,
        retrain_rate=1e-3,
    ),
    Traffic(past_users=10_000, users=1_000, later_users=300, pages_per_user=4.0),
    QUICK,
)
FULL_PLAN = Plan(
    Training(
        cpt_steps=700,
        sft_steps=1_200,
        distil_steps=900,
        retrain_steps=900,
        lists=8,
        negatives=3,
        retrain_rate=1e-3,
    ),
    Traffic(past_users=25_000, users=5_000, later_users=3_000, pages_per_user=4.0),
    FULL,
)
# A real collection, with a pretrained model: fewer steps of larger models, fewer and dearer pages.
COLLECTION_TRAINING = Training(
    cpt_steps=0,
    sft_steps=160,
    distil_steps=120,
    retrain_steps=120,
    lists=2,
    negatives=4,
    retrain_rate=5e-5,
    first_students_queries=0.6,
)
COLLECTION_TRAFFIC = Traffic(past_users=0, users=300, later_users=150, pages_per_user=3.0)
