"""What is wrong with the arms of a definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ranklift.store.values import BUCKETS
from ranklift.traffic.checks import check_name, check_version, quoted
from ranklift.traffic.experiment_values import EXPLORATIONS, INTERLEAVINGS, has_model
from ranklift.traffic.shares import share_of, share_violations
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation
from ranklift.v1.ranking_pb2 import ModelSelector

MAX_INTERLEAVED = 8
MAX_SHADOWS = 8
MIN_TOP_K, MAX_TOP_K = 2, 50


def arm_violations(arms: Sequence[pb.Arm], control: str) -> Iterator[Violation]:
    """Return everything that is wrong with the arms; `control` names one, the first when ""."""
    alone = len(arms) == 1 and _composes(arms[0])
    if len(arms) < 2 and not alone:
        yield Violation(
            "arms",
            f"has {len(arms)} arms, must have 2 or more; one that interleaves, explores or shadows "
            "may be alone",
        )
    ranks = any(_ranks(arm) for arm in arms)
    first_of: dict[str, int] = {}
    shares_fit = True
    for i, arm in enumerate(arms):
        field = f"arms[{i}]"
        yield from check_name(f"{field}.name", arm.name)
        if arm.name and first_of.setdefault(arm.name, i) != i:
            yield Violation(
                f"{field}.name",
                f"{quoted(arm.name)} names arms[{first_of[arm.name]}] too, names must be unique",
            )
        of_share = list(share_violations(f"{field}.share", arm.share))
        shares_fit = shares_fit and not of_share
        yield from of_share
        yield from _ranker_violations(field, arm)
        if arm.HasField("exploration"):
            yield from _exploration_violations(f"{field}.exploration", arm.exploration)
        yield from _shadow_violations(field, arm.shadows)
        if ranks and not _ranks(arm):
            yield Violation(
                f"{field}.model",
                "is empty, must name a model and version: other arms decide the ranker, so every "
                "arm must",
            )
        if not ranks and not _composes(arm) and arm.name != (control or arms[0].name):
            yield Violation(
                field, "does nothing, must rank, explore or shadow unless it is the control"
            )
    total = sum(share_of(arm.share) for arm in arms) if arms and shares_fit else BUCKETS
    if total != BUCKETS:
        yield Violation("arms", f"arm shares sum to {total / BUCKETS:g}, must sum to 1")


def _ranks(arm: pb.Arm) -> bool:
    return has_model(arm) or arm.HasField("interleaving")


def _composes(arm: pb.Arm) -> bool:
    return arm.HasField("interleaving") or arm.HasField("exploration") or len(arm.shadows) > 0


def _ranker_violations(field: str, arm: pb.Arm) -> Iterator[Violation]:
    if has_model(arm):
        # An arm is pinned: "the newest version" would change what is measured.
        yield from _version_violations(f"{field}.model", arm.model)
    if not arm.HasField("interleaving"):
        return
    if has_model(arm):
        yield Violation(field, "has a model and an interleaving, must have one of them")
    models = arm.interleaving.models
    if arm.interleaving.method not in INTERLEAVINGS:
        yield Violation(
            f"{field}.interleaving.method",
            f"{arm.interleaving.method} is no method of interleaving",
        )
    most = 2 if arm.interleaving.method == pb.INTERLEAVING_METHOD_BALANCED else MAX_INTERLEAVED
    if not 2 <= len(models) <= most:
        allowed = "2 with the balanced method" if most == 2 else f"2 to {most}"
        yield Violation(
            f"{field}.interleaving.models", f"has {len(models)} models, must have {allowed}"
        )
    yield from _versions_violations(f"{field}.interleaving.models", models)


def _exploration_violations(field: str, exploration: pb.Exploration) -> Iterator[Violation]:
    if exploration.method not in EXPLORATIONS:
        allowed = ", ".join(pb.ExplorationMethod.Name(method) for method in EXPLORATIONS)
        yield Violation(f"{field}.method", f"is not given, must be one of {allowed}")
    if not MIN_TOP_K <= exploration.top_k <= MAX_TOP_K:
        yield Violation(
            f"{field}.top_k", f"{exploration.top_k} is not in [{MIN_TOP_K}, {MAX_TOP_K}]"
        )
    if not 0 < exploration.probability <= 1:
        yield Violation(
            f"{field}.probability",
            f"{exploration.probability:g} is no probability above 0 and at most 1",
        )
    if not 0 <= exploration.temperature < float("inf"):
        yield Violation(f"{field}.temperature", f"{exploration.temperature:g} is no number above 0")


def _shadow_violations(field: str, shadows: Sequence[ModelSelector]) -> Iterator[Violation]:
    if len(shadows) > MAX_SHADOWS:
        yield Violation(
            f"{field}.shadows", f"has {len(shadows)} models, must have at most {MAX_SHADOWS}"
        )
    yield from _versions_violations(f"{field}.shadows", shadows)


def _versions_violations(field: str, models: Sequence[ModelSelector]) -> Iterator[Violation]:
    first_of: dict[tuple[str, str], int] = {}
    for i, model in enumerate(models):
        yield from _version_violations(f"{field}[{i}]", model)
        first = first_of.setdefault((model.name, model.version), i)
        if first != i:
            yield Violation(f"{field}[{i}]", f"is {field}[{first}] again, each must come once")


def _version_violations(field: str, model: ModelSelector) -> Iterator[Violation]:
    yield from check_name(f"{field}.name", model.name)
    yield from check_version(f"{field}.version", model.version)
