"""How large a demo is: the worlds, the training, the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from ranklift.simulator.synthetic import FULL, QUICK, SyntheticSize


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of one demo.

    Users of the past click on what BM25 shows; the teacher's pre-training
    learns from them. `first_students_queries` is the part of the training
    queries whose teacher scores the first student learns from: it is
    yesterday's student, and retraining on fresh traffic is to beat it. Then
    `users` meet the first experiment and `later_users` the one that retraining
    starts.
    """

    size: SyntheticSize
    past_users: int
    cpt_steps: int
    sft_steps: int
    distil_steps: int
    first_students_queries: float
    retrain_steps: int
    users: int
    later_users: int
    pages_per_user: float


QUICK_PLAN = Plan(
    size=QUICK,
    past_users=10_000,
    cpt_steps=400,
    sft_steps=160,
    distil_steps=600,
    first_students_queries=0.6,
    retrain_steps=500,
    users=1_200,
    later_users=300,
    pages_per_user=4.0,
)
FULL_PLAN = Plan(
    size=FULL,
    past_users=25_000,
    cpt_steps=900,
    sft_steps=400,
    distil_steps=700,
    first_students_queries=0.6,
    retrain_steps=800,
    users=4_000,
    later_users=2_500,
    pages_per_user=4.0,
)
