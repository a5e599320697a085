"""The demo's models: BM25, a teacher made by CPT and SFT, and a student made by distillation.

From scratch on a made-up world, so that nothing has to be downloaded. Queries
are split by id: the teacher is fine-tuned on the judged ones, and nothing is
learnt from the ones held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.collections import Ground, text_of
from ranklift.cli.demo.plan import Traffic, Training
from ranklift.cli.demo.traffic import rankings_of, world_of
from ranklift.cli.output import bar
from ranklift.cli.versions import new_version, register
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.backbones import TINY_DECODER, TINY_ENCODER, new_decoder
from ranklift.rankers.base import ClickedText, RankingList
from ranklift.rankers.bm25 import build_bm25
from ranklift.rankers.evaluation import Evaluation, evaluate
from ranklift.rankers.scores import score_lists
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.rankers.training.cpt import CptOptions, pretrain
from ranklift.rankers.training.distil import DistilOptions, FromScratch, distil
from ranklift.rankers.training.sft import SftOptions, finetune
from ranklift.simulator.collections import Split, queries_in
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef, ModelVersion

BM25, TEACHER, STUDENT = "bm25", "teacher", "student"
VOCABULARY = 20_000
CPT_RATE, SFT_RATE = 4e-3, 1e-3


@dataclass(frozen=True, slots=True)
class School:
    """Where a demo's models are made: what there is to learn, how long, and where it is kept."""

    ground: Ground
    training: Training
    traffic: Traffic
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
    cpt = CptOptions(steps=school.training.cpt_steps, learning_rate=CPT_RATE, seed=school.seed)
    decoder = new_decoder(TINY_DECODER, tokenizer, cpt.max_tokens, seed=school.seed)
    _, language_model = new_version(school.registry, school.models_folder, f"{TEACHER}-lm")
    with bar("teacher: pre-training on clicks") as progress:
        pretrain(decoder, tokenizer, clicks, language_model, cpt, progress=progress.update)
    ref, folder = new_version(school.registry, school.models_folder, TEACHER)
    sft = SftOptions(
        steps=school.training.sft_steps,
        batch=school.training.lists,
        learning_rate=SFT_RATE,
        seed=school.seed,
    )
    with bar("teacher: fine-tuning on judgments") as progress:
        finetune(language_model, judged_lists(school), folder, sft, progress=progress.update)
    register(school.registry, ref, folder)
    return ref


def make_student(school: School, teacher: ModelRef) -> ModelRef:
    """Distil a first, small encoder from the teacher's scores; no judgment is read."""
    version = school.registry.models.get(teacher)
    lists = students_lists(school, version)
    ref, folder = new_version(school.registry, school.models_folder, STUDENT)
    options = DistilOptions(
        steps=school.training.distil_steps, batch=school.training.lists, seed=school.seed
    )
    with bar("student: distilling") as progress:
        distil(
            FromScratch(TINY_ENCODER, Path(version.uri)),
            lists,
            folder,
            options,
            teacher=version.digest,
            progress=progress.update,
        )
    register(school.registry, ref, folder, parents=(teacher,))
    return ref


def judged_lists(school: School) -> list[RankingList]:
    """Return what a teacher is fine-tuned on: the judged queries, their candidates in portions.

    A portion is the documents with a positive grade and a few of the others:
    the pairs that say most at a fraction of the cost.
    """
    count = school.training.negatives
    judged = queries_in(school.ground.collection, Split.JUDGED)
    return [portion for each in school.ground.lists(judged) for portion in portions(each, count)]


def portions(judged: RankingList, negatives: int) -> Iterator[RankingList]:
    """Yield `judged` with all its positive documents and `negatives` of the others at a time."""
    positive = [i for i, grade in enumerate(judged.targets) if grade > 0]
    others = [i for i, grade in enumerate(judged.targets) if grade <= 0]
    for start in range(0, len(others), negatives):
        kept = positive + others[start : start + negatives]
        yield RankingList(
            judged.query,
            tuple(judged.documents[i] for i in kept),
            tuple(judged.targets[i] for i in kept),
        )


def students_lists(school: School, teacher: ModelVersion) -> tuple[RankingList, ...]:
    """Return some training queries with the teacher's scores: what the first student learns."""
    collection = school.ground.collection
    query_ids = queries_in(collection, Split.JUDGED) + queries_in(collection, Split.UNLABELLED)
    some = query_ids[: int(school.training.first_students_queries * len(query_ids))]
    with bar("teacher: scoring") as progress:
        scored = score_lists(
            load_ranker(Path(teacher.uri)),
            teacher.digest,
            school.ground.lists(some),
            school.home / "cache",
            progress=progress.update,
        )
    return scored.lists


def past_clicks(school: School, bm25: ModelRef) -> list[ClickedText]:
    """Return what users of the past clicked on BM25's pages; held-out queries were not asked."""
    collection = school.ground.collection
    held_out = set(queries_in(collection, Split.HELD_OUT))
    candidates = {q: c for q, c in school.ground.candidates.items() if q not in held_out}
    past = Ground(collection, candidates)
    world = world_of(
        "past",
        past,
        users=school.traffic.past_users,
        pages_per_user=school.traffic.pages_per_user,
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
