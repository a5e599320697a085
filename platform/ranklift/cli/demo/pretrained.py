"""The demo's neural models on a real collection: a MiniLM teacher, and a student cut out of MiniLM.

A collection of a few hundred queries teaches no model a language, so both begin
with pretrained weights. The teacher is fine-tuned on the judged queries; the
student has half of its layers and learns from its scores alone.
"""

from __future__ import annotations

from ranklift.cli.demo.school import (
    STUDENT,
    TEACHER,
    School,
    judged_lists,
    students_lists,
)
from ranklift.cli.output import bar
from ranklift.cli.versions import new_version, register
from ranklift.rankers.backbones import alternate
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.training.distil import DistilOptions, FromPretrained, distil
from ranklift.rankers.training.sft import SftOptions, finetune
from ranklift.store.values import ModelRef

MAX_TOKENS = 64
LAYERS, KEPT = 6, 3
LEARNING_RATE = 1e-4


def make_teacher(school: School, bm25: ModelRef) -> ModelRef:
    """Fine-tune MiniLM as a cross-encoder on the judged queries; it learns nothing from `bm25`."""
    ref, folder = new_version(school.registry, school.models_folder, TEACHER)
    training = school.training
    with bar("teacher: fine-tuning on judgments") as progress:
        finetune(
            minilm_folder(),
            judged_lists(school),
            folder,
            SftOptions(
                steps=training.sft_steps,
                batch=training.lists,
                learning_rate=LEARNING_RATE,
                max_tokens=MAX_TOKENS,
                seed=school.seed,
            ),
            progress=progress.update,
        )
    register(school.registry, ref, folder)
    return ref


def make_student(school: School, teacher: ModelRef) -> ModelRef:
    """Distil three of MiniLM's six layers from the teacher's scores; no judgment is read."""
    version = school.registry.models.get(teacher)
    lists = students_lists(school, version)
    ref, folder = new_version(school.registry, school.models_folder, STUDENT)
    with bar("student: distilling") as progress:
        distil(
            FromPretrained(minilm_folder(), alternate(KEPT, of=LAYERS)),
            lists,
            folder,
            DistilOptions(
                steps=school.training.distil_steps,
                batch=school.training.lists,
                learning_rate=LEARNING_RATE,
                max_tokens=MAX_TOKENS,
                seed=school.seed,
            ),
            teacher=version.digest,
            progress=progress.update,
        )
    register(school.registry, ref, folder, parents=(teacher,))
    return ref
