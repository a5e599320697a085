"""Where experiments become model versions in the run's folder, each of them once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranklift.cli.reproduce.experiments import Language, Student, Teacher, key_of
from ranklift.cli.reproduce.material import Material, material_of
from ranklift.cli.reproduce.run_folder import RunFolder
from ranklift.cli.reproduce.scale import Scale
from ranklift.rankers.artefacts import Lineage, Manifest, digest_of, load_ranker, new_artefact
from ranklift.rankers.backbones import load_language_model, new_decoder, quiet
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.scores import score_lists
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.rankers.training.cpt import CptOptions, pretrain
from ranklift.rankers.training.distil import DistilOptions, FromScratch, distil, standard
from ranklift.rankers.training.sft import SftOptions, finetune

VOCABULARY, MAX_TOKENS = 20_000, 64


@dataclass(frozen=True, slots=True)
class Lesson:
    """A teacher's scores: of the lists that students learn from, and, on the scale that
    distillation gives them, of the held-out ones, one array of shape (documents,) a list."""

    lists: tuple[RankingList, ...]
    held_out: tuple[NDArray[np.float64], ...]


@dataclass(slots=True)
class Training:
    """Trains what the run's folder does not hold yet.

    Of materials and lessons only the last one is kept in memory: seeds come one after another.
    """

    folder: RunFolder
    scale: Scale
    _materials: dict[int, Material] = field(default_factory=dict)
    _lessons: dict[Teacher, Lesson] = field(default_factory=dict)

    def material(self, seed: int) -> Material:
        """Return what there is to learn on a seed, and to be measured on."""
        if seed not in self._materials:
            self._materials = {seed: material_of(self.scale, seed)}
        return self._materials[seed]

    def language(self, language: Language) -> Path:
        """Return the folder of a language model.

        Raises:
            TrainingFailed: the loss was not finite.
        """
        folder = self.folder.model(key_of(language))
        if folder.exists():
            return folder
        material = self.material(language.seed)
        if not language.stages:
            self._untrained(language.seed, folder)
            return folder
        *before, stage = language.stages
        start = self.language(replace(language, stages=tuple(before)))
        pretrain(
            load_language_model(start),
            load_tokenizer(start),
            material.documents if stage.corpus == "documents" else material.clicks,
            folder,
            CptOptions(
                steps=stage.steps,
                batch=self.scale.clicks,
                learning_rate=stage.rate,
                max_tokens=MAX_TOKENS,
                seed=language.seed,
            ),
            parents=(digest_of(start),),
        )
        return folder

    def teacher(self, teacher: Teacher) -> Path:
        """Return the folder of a teacher.

        Raises:
            TrainingFailed: it or its language model learnt nothing.
        """
        folder = self.folder.model(key_of(teacher))
        if not folder.exists():
            options = SftOptions(
                steps=teacher.steps,
                batch=self.scale.lists,
                learning_rate=teacher.rate,
                max_tokens=MAX_TOKENS,
                seed=teacher.seed,
            )
            finetune(
                self.language(teacher.language), self.material(teacher.seed).judged, folder, options
            )
        return folder

    def student(self, student: Student) -> Path:
        """Return the folder of a student.

        Raises:
            TrainingFailed: it, or its teacher, learnt nothing.
        """
        folder = self.folder.model(key_of(student))
        if not folder.exists():
            teacher = self.teacher(student.teacher)
            options = DistilOptions(
                steps=student.steps,
                batch=self.scale.lists,
                learning_rate=student.rate,
                max_tokens=MAX_TOKENS,
                seed=student.seed,
                **student.loss,
            )
            distil(
                FromScratch(replace(self.scale.student, layers=student.layers), teacher),
                self.lesson(student.teacher).lists,
                folder,
                options,
                teacher=digest_of(teacher),
            )
        return folder

    def lesson(self, teacher: Teacher) -> Lesson:
        """Return what a teacher has to say to students.

        Raises:
            TrainingFailed: it learnt nothing.
        """
        if teacher not in self._lessons:
            folder, material = self.teacher(teacher), self.material(teacher.seed)
            ranker, digest = load_ranker(folder), digest_of(folder)
            lists, held_out = (
                score_lists(ranker, digest, each, self.folder.scores).lists
                for each in (material.unlabelled, material.held_out)
            )
            mean, deviation = standard(lists)
            scores = tuple((np.array(each.targets) - mean) / deviation for each in held_out)
            self._lessons = {teacher: Lesson(lists, scores)}
        return self._lessons[teacher]

    def _untrained(self, seed: int, folder: Path) -> None:
        # Of the documents, which nobody holds out: a word of a held-out query is known as a word.
        tokenizer = train_tokenizer(
            (each.document.body for each in self.material(seed).documents), VOCABULARY
        )
        model = new_decoder(self.scale.teacher, tokenizer, MAX_TOKENS, seed=seed)
        manifest = Manifest("causal_lm", "fp32", MAX_TOKENS, Lineage("untrained"))
        with new_artefact(folder, manifest) as temporary, quiet():
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
