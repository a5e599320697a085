"""The demo's models: BM25, a teacher made by CPT and SFT, and a student made by distillation.

From scratch on a made-up world, so that nothing has to be downloaded. Queries
are split by id: the teacher is fine-tuned on the judged ones, and nothing is
learnt from the ones held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.collections import Ground, text_of
from ranklift.cli.demo.plan import Plan
from ranklift.cli.demo.traffic import rankings_of, world_of
from ranklift.cli.output import bar
from ranklift.cli.versions import new_version, register
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.backbones import TINY_DECODER, TINY_ENCODER, new_decoder
from ranklift.rankers.base import ClickedText
from ranklift.rankers.bm25 import build_bm25
from ranklift.rankers.evaluation import Evaluation, evaluate
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.rankers.training.cpt import CptOptions, pretrain
from ranklift.rankers.training.distil import DistilOptions, FromScratch, distil
from ranklift.rankers.training.scoring import score_lists
from ranklift.rankers.training.sft import SftOptions, finetune
from ranklift.simulator.collections import Split, queries_in
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef

BM25, TEACHER, STUDENT = "bm25", "teacher", "student"
VOCABULARY = 20_000
LISTS = 8  # in a training step


@dataclass(frozen=True, slots=True)
class School:
    """Where a demo's models are made: the ground, the registry and the folders, and the seed."""

    ground: Ground
    plan: Plan
    registry: Registry
    home: Path
    seed: int

    @property
    def models_folder(self) -> Path:
        return self.home / "models"


def make_bm25(school: School) -> ModelRef:
    """Index the collection."""
    ref, folder = new_version(school.registry, school.models_folder, BM25)
    build_bm25(school.ground.texts(), folder)
    register(school.registry, ref, folder)
    return ref


def make_teacher(school: School, bm25: ModelRef) -> ModelRef:
    """Pre-train a decoder on the clicks of the past, and fine-tune it on the judged queries."""
    clicks = past_clicks(school, bm25)
    texts = [f"{c.query} {c.document.body}" for c in clicks]
    texts += [text.body for text in school.ground.texts()]
    tokenizer = train_tokenizer(texts, VOCABULARY)
    cpt = CptOptions(steps=school.plan.cpt_steps, seed=school.seed)
    decoder = new_decoder(TINY_DECODER, tokenizer, cpt.max_tokens, seed=school.seed)
    _, language_model = new_version(school.registry, school.models_folder, f"{TEACHER}-lm")
    with bar("teacher: pre-training on clicks") as progress:
        pretrain(decoder, tokenizer, clicks, language_model, cpt, progress=progress.update)
    ref, folder = new_version(school.registry, school.models_folder, TEACHER)
    judged = school.ground.lists(queries_in(school.ground.collection, Split.JUDGED))
    with bar("teacher: fine-tuning on judgments") as progress:
        finetune(
            language_model,
            judged,
            folder,
            SftOptions(steps=school.plan.sft_steps, batch=LISTS, seed=school.seed),
            progress=progress.update,
        )
    register(school.registry, ref, folder)
    return ref


def make_student(school: School, teacher: ModelRef) -> ModelRef:
    """Distil a first student from the teacher's scores of some training queries; no judgment
    is read."""
    collection = school.ground.collection
    query_ids = queries_in(collection, Split.JUDGED) + queries_in(collection, Split.UNLABELLED)
    some = query_ids[: int(school.plan.first_students_queries * len(query_ids))]
    version = school.registry.models.get(teacher)
    with bar("teacher: scoring") as progress:
        scored = score_lists(
            load_ranker(Path(version.uri)),
            version.digest,
            school.ground.lists(some),
            school.home / "cache",
            progress=progress.update,
        )
    ref, folder = new_version(school.registry, school.models_folder, STUDENT)
    with bar("student: distilling") as progress:
        distil(
            FromScratch(TINY_ENCODER, Path(version.uri)),
            scored.lists,
            folder,
            DistilOptions(steps=school.plan.distil_steps, batch=LISTS, seed=school.seed),
            teacher=version.digest,
            progress=progress.update,
        )
    register(school.registry, ref, folder, parents=(teacher,))
    return ref


def past_clicks(school: School, bm25: ModelRef) -> list[ClickedText]:
    """Return what users of the past clicked on BM25's pages; held-out queries were not asked."""
    collection = school.ground.collection
    held_out = set(queries_in(collection, Split.HELD_OUT))
    candidates = {q: c for q, c in school.ground.candidates.items() if q not in held_out}
    past = Ground(collection, candidates)
    world = world_of(
        "past",
        past,
        users=school.plan.past_users,
        pages_per_user=school.plan.pages_per_user,
        seed=school.seed,
    )
    rankings = rankings_of(past, school.registry, bm25)
    log = simulate(world, SimulatedRanker(rankings, bm25.model, bm25.version))
    clicked = (
        log.clicks.join(log.pages.select("impression_id", "query"), on="impression_id")
        .sort("event_id")
        .select("query", "document_id")
    )
    return [
        ClickedText(query, text_of(collection, document_id))
        for query, document_id in clicked.iter_rows()
    ]


def evaluations(school: School, refs: tuple[ModelRef, ...]) -> dict[str, Evaluation]:
    """Return how well each model version orders the held-out queries."""
    lists = school.ground.lists(queries_in(school.ground.collection, Split.HELD_OUT))
    return {
        str(ref): evaluate(load_ranker(Path(school.registry.models.get(ref).uri)), lists)
        for ref in refs
    }


def figures(evaluated: Mapping[str, Evaluation]) -> dict[str, dict[str, float]]:
    """Return the evaluations' values by model version, then by metric."""
    return {
        version: {
            "pnr": e.pnr.value,
            "pair_accuracy": e.pair_accuracy.value,
            "ndcg@5": e.ndcg[5].value,
            "ndcg@10": e.ndcg[10].value,
        }
        for version, e in evaluated.items()
    }
