"""The life of an experiment, on the real registry in both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ranklift.store.registry import Registry
from ranklift.store.values import Decision, ExperimentState, ModelRef, ModelVersion
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NotFound,
    NotReady,
    RequestError,
)
from ranklift.v1.ranking_pb2 import ModelSelector

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
WHO = {"actor": "ann", "reason": "because"}


def definition(name: str = "title-boost", version: str = "1", layer: str = "") -> pb.Experiment:
    return pb.Experiment(
        name=name,
        layer=layer,
        arms=[
            pb.Arm(name="control", share=0.5, model=ModelSelector(name="bm25", version="1")),
            pb.Arm(
                name="treatment", share=0.5, model=ModelSelector(name="student", version=version)
            ),
        ],
    )


@pytest.fixture
def experiments(
    registry: Registry, version: Callable[[ModelRef], ModelVersion]
) -> ExperimentRegistry:
    for ref in (CHAMPION, CHALLENGER):
        registry.models.register(version(ref))
    registry.models.set_champion(CHAMPION, actor="ann", reason="first")
    return ExperimentRegistry(registry.experiments)


def blamed(error: RequestError) -> list[str]:
    return [violation.field for violation in error.violations]


def test_an_experiment_is_a_draft_then_runs_pauses_runs_and_ends(
    experiments: ExperimentRegistry,
) -> None:
    assert experiments.create(definition(), actor="ann").state is ExperimentState.DRAFT
    states = [
        experiments.start("title-boost", **WHO).state,
        experiments.pause("title-boost", **WHO).state,
        experiments.start("title-boost", **WHO).state,
        experiments.conclude("title-boost", Decision.NONE, **WHO).state,
    ]
    assert states == ["running", "paused", "running", "concluded"]
    revisions = experiments.get("title-boost").revisions
    assert [revision.number for revision in revisions] == [1, 2, 3, 4, 5]
    assert (revisions[-1].actor, revisions[-1].reason) == ("ann", "because")


def test_what_a_state_does_not_allow_is_refused(experiments: ExperimentRegistry) -> None:
    experiments.create(definition(), actor="ann")
    with pytest.raises(NotReady, match="is draft"):
        experiments.pause("title-boost", **WHO)
    with pytest.raises(NotReady, match="is draft"):
        experiments.conclude("title-boost", Decision.NONE, **WHO)
    experiments.start("title-boost", **WHO)
    with pytest.raises(NotReady, match="is running"):
        experiments.start("title-boost", **WHO)
    experiments.conclude("title-boost", Decision.NONE, **WHO)
    for change in (experiments.start, experiments.pause):
        with pytest.raises(NotReady, match="is concluded"):
            change("title-boost", **WHO)


def test_shipping_makes_the_arms_version_the_champion(
    experiments: ExperimentRegistry, registry: Registry
) -> None:
    experiments.create(definition(), actor="ann")
    experiments.start("title-boost", **WHO)
    concluded = experiments.conclude("title-boost", Decision.SHIP, arm="treatment", **WHO)
    assert concluded.decision is Decision.SHIP
    champion = registry.models.champion()
    assert champion is not None
    assert champion.ref == CHALLENGER


@pytest.mark.parametrize("decision", [Decision.ROLL_BACK, Decision.NONE])
def test_any_other_decision_leaves_the_champion(
    experiments: ExperimentRegistry, registry: Registry, decision: Decision
) -> None:
    experiments.create(definition(), actor="ann")
    experiments.start("title-boost", **WHO)
    experiments.conclude("title-boost", decision, **WHO)
    champion = registry.models.champion()
    assert champion is not None
    assert champion.ref == CHAMPION


@pytest.mark.parametrize(
    ("decision", "arm", "says"),
    [
        (Decision.SHIP, "", "is empty, must name the arm to ship"),
        (Decision.SHIP, "nobody", '"nobody" is no arm'),
        (Decision.ROLL_BACK, "control", "must be empty unless"),
        (Decision.NONE, "control", "must be empty unless"),
    ],
)
def test_the_arm_must_fit_the_decision(
    experiments: ExperimentRegistry, decision: Decision, arm: str, says: str
) -> None:
    experiments.create(definition(), actor="ann")
    experiments.start("title-boost", **WHO)
    with pytest.raises(InvalidRequest, match=says) as caught:
        experiments.conclude("title-boost", decision, arm=arm, **WHO)
    assert blamed(caught.value) == ["arm"]
    assert experiments.get("title-boost").state is ExperimentState.RUNNING


def test_a_stale_etag_changes_nothing(experiments: ExperimentRegistry, registry: Registry) -> None:
    seen = experiments.create(definition(), actor="ann").etag
    running = experiments.start("title-boost", etag=seen, **WHO)
    for change in (experiments.start, experiments.pause):
        with pytest.raises(Conflict):
            change("title-boost", etag=seen, **WHO)
    with pytest.raises(Conflict):
        experiments.conclude("title-boost", Decision.SHIP, arm="treatment", etag=seen, **WHO)
    assert experiments.get("title-boost") == running
    champion = registry.models.champion()
    assert champion is not None
    assert champion.ref == CHAMPION


def test_creating_is_idempotent_by_request_id(experiments: ExperimentRegistry) -> None:
    first = experiments.create(definition(), actor="ann", request_id="r-1")
    assert experiments.create(definition(), actor="ann", request_id="r-1") == first
    with pytest.raises(AlreadyExists) as caught:
        experiments.create(definition(), actor="ann", request_id="r-2")
    assert blamed(caught.value) == ["name"]


def test_a_version_that_is_not_registered_is_named(experiments: ExperimentRegistry) -> None:
    with pytest.raises(NotFound, match="student@2 is not registered") as caught:
        experiments.create(definition(version="2"), actor="ann")
    assert blamed(caught.value) == ["arms[1].model"]


def calls(experiments: ExperimentRegistry, name: str) -> list[Callable[[], object]]:
    return [
        lambda: experiments.get(name),
        lambda: experiments.start(name, **WHO),
        lambda: experiments.pause(name, **WHO),
        lambda: experiments.conclude(name, Decision.NONE, **WHO),
    ]


def test_an_unknown_experiment_is_named(experiments: ExperimentRegistry) -> None:
    for call in calls(experiments, "nobody"):
        with pytest.raises(NotFound, match="nobody") as caught:
            call()
        assert blamed(caught.value) == ["name"]


def test_a_name_must_be_given(experiments: ExperimentRegistry) -> None:
    for call in calls(experiments, ""):
        with pytest.raises(InvalidRequest, match="name: is empty"):
            call()
    for call in calls(experiments, "?" * 100_000):
        with pytest.raises(InvalidRequest, match="is no valid name"):
            call()
