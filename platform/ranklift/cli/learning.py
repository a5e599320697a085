"""Retraining fitted together: the pipeline's collaborators, made of rankers, gRPC and registry."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import grpc

from ranklift.cli.collections import judged_ground
from ranklift.cli.composition import files_of
from ranklift.cli.logged_clicks import click_grades
from ranklift.cli.protection import credentials_of
from ranklift.clicks.query_text import normalised
from ranklift.events.frames import read_events
from ranklift.rankers.artefacts import digest_of, load_ranker, load_version, read_manifest
from ranklift.rankers.base import RankingList, Text, score_texts
from ranklift.rankers.evaluation import Difference, compare, evaluate
from ranklift.rankers.scores import score_lists
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil
from ranklift.retrain.collaborators import Progress, TeacherScores, TrainedArtefact
from ranklift.retrain.dataset import QueryLog, RetrainData
from ranklift.retrain.gate import Evaluation
from ranklift.retrain.pipeline import run_retraining
from ranklift.settings import RetrainSettings, Settings
from ranklift.store.database import utc_now
from ranklift.store.registry import Registry
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Comparison,
    Experiment,
    Lineage,
    ModelRef,
    ModelVersion,
    Ramp,
    RampStep,
    Run,
    Schedule,
)
from ranklift.traffic.connections import CHANNEL_OPTIONS
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.traffic.shares import bucket_violations
from ranklift.v1 import models_pb2, models_pb2_grpc
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import Unreachable, refuse_if_any
from ranklift.v1.status import details_of

LOAD_SECONDS = 120.0
ACTOR = "retraining"
JUDGED_DEPTH = 20


def retraining(run_id: str, settings: Settings, registry: Registry, progress: Progress) -> Run:
    """Carry out a queued run of an installation, and return it as it ended."""
    judged = _judged_lists(settings.retrain)
    return run_retraining(
        run_id,
        registry=registry,
        events=lambda: read_events(settings.home, files_of(settings)),
        trainer=RankerTrainer(
            settings.retrain, settings.home / "cache", {normalised(each.query) for each in judged}
        ),
        evaluator=RankerEvaluator(judged),
        loader=RankerLoader(settings.gateway.rankers, registry, credentials_of(settings)),
        experiments=ChallengerStarter(registry, settings.retrain),
        models_folder=settings.home.absolute() / "models",
        clock=utc_now,
        progress=progress,
    )


class RankerTrainer:
    """Scores with the teacher, through a cache, and distils a successor of the student.

    Queries that say the same as one in `kept_out`, which are normalised, are
    those that new versions are compared on: nothing is learnt from them.
    """

    def __init__(self, settings: RetrainSettings, cache: Path, kept_out: set[str]) -> None:
        self._settings = settings
        self._cache = cache
        self._kept_out = kept_out

    def score(
        self, data: RetrainData, teacher: ModelVersion, progress: Callable[[int, int], None]
    ) -> TeacherScores:
        """Return the teacher's scores of the training lists."""
        lists = [_as_list(each, [0.0] * len(each.documents)) for each in data.train]
        ranker = load_ranker(Path(teacher.uri))
        scored = score_lists(ranker, teacher.digest, lists, self._cache, progress=progress)
        return [each.targets for each in scored.lists]

    def distil(
        self,
        data: RetrainData,
        scores: TeacherScores,
        parent: ModelVersion,
        folder: Path,
        lineage: Lineage,
        progress: Callable[[int, int], None],
    ) -> TrainedArtefact:
        """Go on from `parent` on the teacher's scores, with the clicks as a hint."""
        learnt = [
            (query, targets)
            for query, targets in zip(data.train, scores, strict=True)
            if normalised(query.query) not in self._kept_out
        ]
        options = DistilOptions(
            steps=self._settings.steps,
            batch=self._settings.lists,
            learning_rate=self._settings.learning_rate,
            max_tokens=read_manifest(Path(parent.uri)).max_tokens,
            gamma=self._settings.click_weight,
            seed=self._settings.seed,
        )
        distil(
            FromArtefact(Path(parent.uri)),
            [_as_list(query, targets) for query, targets in learnt],
            folder,
            options,
            teacher=lineage.parents[-1],
            grades=[click_grades(query) for query, _ in learnt],
            progress=progress,
            # A run that was killed is resumed, and goes on in the middle of this too.
            checkpoints=self._cache.parent / "training",
        )
        made = read_manifest(folder)
        return TrainedArtefact(folder, made.kind, made.numerics, digest_of(folder))


class RankerEvaluator:
    """Compares on the judged lists where there are some, else on the clicks held out.

    Clicks are weaker evidence than judgments: they say what was attractive
    among the few documents shown.
    """

    def __init__(self, judged: Sequence[RankingList]) -> None:
        self._judged = judged

    def compare(
        self, champion: ModelVersion, challenger: TrainedArtefact, data: RetrainData
    ) -> Evaluation:
        """Return the differences, challenger minus champion, and the challenger's score spread."""
        lists, source = list(self._judged), "judgments"
        if not lists:
            lists = [_as_list(each, click_grades(each)) for each in data.held_out]
            source = "clicks"
        ranker = load_ranker(challenger.folder)
        differences = compare(
            evaluate(load_version(Path(champion.uri)), lists), evaluate(ranker, lists)
        )
        scores = [score_texts(ranker, each.query, each.documents).values for each in lists]
        spreads = [float(values.max() - values.min()) for values in scores]
        return Evaluation(
            tuple(_comparison(each, source) for each in differences), statistics.median(spreads)
        )


class RankerLoader:
    """Has every ranker that serves the new version's model, or else the champion, load it."""

    def __init__(
        self,
        addresses: Sequence[str],
        registry: Registry,
        credentials: Credentials = IN_THE_CLEAR,
    ) -> None:
        self._addresses = addresses
        self._registry = registry
        self._credentials = credentials

    def load(self, version: ModelVersion) -> None:
        """Return when the version is loaded and warm.

        Raises:
            Unreachable: no ranker took it.
        """
        loaded_models = {
            address: _models_at(address, self._credentials) for address in self._addresses
        }
        champion = self._registry.models.champion()
        wanted = {version.ref.model}
        if not any(wanted & models for models in loaded_models.values()) and champion:
            wanted = {champion.ref.model}
        targets = [address for address, models in loaded_models.items() if models & wanted]
        if not targets:
            raise Unreachable.of(
                "", f"no ranker at {', '.join(self._addresses)} serves {' or '.join(wanted)}"
            )
        for address in targets:
            _load_at(address, version, self._credentials)


class ChallengerStarter:
    """Puts a new version behind the splitter, against the champion, on the ramp of the settings."""

    def __init__(self, registry: Registry, settings: RetrainSettings) -> None:
        self._registry = registry
        self._ramp = _ramp(settings)

    def start(self, name: str, control: ModelRef, challenger: ModelRef, schedule: Schedule) -> str:
        """Start an experiment named after the version, and return its name.

        Raises:
            InvalidRequest: a step of the ramp would give an arm a part of a bucket.
            NotReady: another experiment runs.
        """
        experiment_name = f"{challenger.model}-{challenger.version}"
        experiments = self._registry.experiments
        share = schedule.challenger_share
        shares = (("control", BUCKETS - share), ("challenger", share))
        refuse_if_any(
            violation
            for step in (self._ramp.steps if self._ramp else ())
            for violation in bucket_violations("retrain.ramp", step.traffic_share, shares)
        )
        experiments.create(
            Experiment(
                name=experiment_name,
                arms=(
                    Arm("control", BUCKETS - share, control),
                    Arm("challenger", share, challenger),
                ),
                control="control",
                salt=f"{schedule.layer}/{experiment_name}",
                layer=schedule.layer,
                traffic_share=self._ramp.steps[0].traffic_share if self._ramp else BUCKETS,
                ramp=self._ramp,
                hypothesis=f"{challenger}, retrained by {name}, is better than {control}.",
            ),
            actor=ACTOR,
            request_id=name,
        )
        ExperimentRegistry(experiments).start(
            experiment_name, actor=ACTOR, reason=f'schedule "{schedule.name}"'
        )
        return experiment_name


def _ramp(settings: RetrainSettings) -> Ramp | None:
    hold = timedelta(hours=settings.ramp_hold_hours)
    steps = tuple(RampStep(round(share * BUCKETS), hold) for share in settings.ramp)
    return Ramp(steps) if steps else None


def _judged_lists(settings: RetrainSettings) -> list[RankingList]:
    if not settings.judgments:
        return []
    ground = judged_ground(Path(settings.judgments), JUDGED_DEPTH)
    return ground.lists(ground.collection.judgments)


def _as_list(query: QueryLog, targets: Sequence[float]) -> RankingList:
    texts = tuple(Text(d.document_id, d.title, d.text) for d in query.documents)
    return RankingList(query.query, texts, tuple(targets))


def _comparison(found: Difference, source: str) -> Comparison:
    return Comparison(
        metric=found.metric,
        champion_value=found.a,
        challenger_value=found.b,
        difference=found.difference,
        difference_lower=found.lower,
        difference_upper=found.upper,
        queries=found.queries,
        source=source,
    )


def _models_at(address: str, credentials: Credentials) -> set[str]:
    with credentials.channel(address, CHANNEL_OPTIONS) as channel:
        try:
            reply = models_pb2_grpc.ModelServiceStub(channel).ListLoadedModelVersions(
                models_pb2.ListLoadedModelVersionsRequest(), timeout=5
            )
        except grpc.RpcError:
            return set()
    return {each.model for each in reply.loaded}


def _load_at(address: str, version: ModelVersion, credentials: Credentials) -> None:
    request = models_pb2.LoadModelVersionRequest(
        model=version.ref.model,
        version=version.ref.version,
        uri=version.uri,
        digest=version.digest,
    )
    with credentials.channel(address, CHANNEL_OPTIONS) as channel:
        try:
            models_pb2_grpc.ModelServiceStub(channel).LoadModelVersion(
                request, timeout=LOAD_SECONDS
            )
        except grpc.RpcError as error:
            raise Unreachable.of(
                "", f"the ranker at {address} did not load {version.ref}: {details_of(error)}"
            ) from error
