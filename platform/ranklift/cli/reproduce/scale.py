"""How large the world and the models of a run are, and how long they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ranklift.rankers.backbones import TINY_DECODER, Size
from ranklift.simulator.collections import Split
from ranklift.simulator.synthetic import SyntheticSize


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of everything but the number of seeds.

    Students learn from the teacher's scores of the queries of `student_queries`. Steps of
    language modelling are of `clicks` documents each, all others of `lists` ranking
    lists. Fine-tuning reads a query's relevant documents and `negatives` others
    at a time. Teacher and students take the learning rate that does best of
    `teacher_rates` and `student_rates`, on worlds of `tuning_seeds` alone.
    """

    world: SyntheticSize
    past_users: int
    teacher: Size
    student: Size  # its layers are those of the table of losses
    depths: tuple[int, ...]
    language_steps: int
    language_rate: float
    continued_rate: float  # of CPT where the model has read the documents before
    clicks: int
    teacher_steps: int
    teacher_rates: tuple[float, ...]
    student_queries: tuple[Split, ...]
    student_steps: int
    student_rates: tuple[float, ...]
    lists: int
    negatives: int
    tuning_seeds: tuple[int, ...]
    rounds: int  # of the measurement of speed

    def unsaid(self) -> dict[str, Any]:
        """Return what decides how an experiment goes and does not stand in its value.

        Other seeds, rates or depths leave what was made before as it is.
        """
        said = {"depths", "tuning_seeds", "language_rate", "teacher_rates", "student_rates"}
        said |= {"continued_rate", "language_steps", "teacher_steps", "student_steps"}
        return {name: value for name, value in asdict(self).items() if name not in said}


# Students of 32 are a third as wide as their teacher, and see 480 queries: they differ.
SMALL = Scale(
    world=SyntheticSize(
        concepts=50,
        attributes=20,
        fillers=120,
        attributes_per_concept=8,
        documents_per_topic=12,
        queries_per_topic=3,
    ),
    past_users=10_000,
    teacher=TINY_DECODER,
    student=Size(layers=1, width=32, heads=4, feed_forward=64),
    depths=(1, 2, 4),
    language_steps=320,
    language_rate=4e-3,
    continued_rate=1e-3,
    clicks=64,
    teacher_steps=400,
    teacher_rates=(5e-4, 1e-3, 2e-3),
    student_queries=(Split.UNLABELLED,),
    # At 400 many students have hardly begun: which of them have, chance decides, not their loss.
    student_steps=1_200,
    student_rates=(1.5e-3, 3e-3, 6e-3),
    lists=8,
    negatives=3,
    tuning_seeds=(1_000, 1_001),
    rounds=20,
)
# The same world and models; students see twice as many queries, half as long again.
MEDIUM = replace(SMALL, student_queries=(Split.JUDGED, Split.UNLABELLED), student_steps=1_800)
# To see that everything runs: seconds a seed, and figures that mean nothing.
TINY = Scale(
    world=SyntheticSize(
        concepts=6,
        attributes=5,
        fillers=20,
        attributes_per_concept=4,
        documents_per_topic=3,
        queries_per_topic=2,
    ),
    past_users=150,
    teacher=Size(layers=1, width=16, heads=2, feed_forward=32),
    student=Size(layers=1, width=16, heads=2, feed_forward=32),
    depths=(1, 2),
    language_steps=3,
    language_rate=4e-3,
    continued_rate=1e-3,
    clicks=8,
    teacher_steps=3,
    teacher_rates=(1e-3,),
    student_queries=(Split.UNLABELLED,),
    student_steps=3,
    student_rates=(3e-3,),
    lists=2,
    negatives=3,
    tuning_seeds=(1_000,),
    rounds=3,
)
SCALES: Mapping[str, Scale] = {"small": SMALL, "medium": MEDIUM, "tiny": TINY}
