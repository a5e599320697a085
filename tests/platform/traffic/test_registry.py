"""The life of an experiment, on the real registry in both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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


def changed(**fields: object) -> pb.Experiment:
    of = definition()
    of.MergeFrom(pb.Experiment(**fields))  # type: ignore[arg-type]
    return of


def test_an_update_changes_the_fields_of_its_mask_and_no_other(
    experiments: ExperimentRegistry,
) -> None:
    before = experiments.create(definition(), actor="ann")
    given = changed(owner="search", hypothesis="more", primary_metric="user_ctr")
    after = experiments.update(given, ["owner", "primary_metric"], **WHO)
    assert after.experiment == replace(before.experiment, owner="search", primary_metric="user_ctr")
    assert after.revision == 2


@pytest.mark.parametrize(
    ("paths", "field", "says"),
    [
        ([], "update_mask", "is empty"),
        (["owner", "ownr"], "update_mask.paths[1]", '"ownr" is no field of an experiment'),
        (["name"], "update_mask.paths[0]", "cannot be set"),
        (["state"], "update_mask.paths[0]", "cannot be set"),
        (["analysis.alpha"], "update_mask.paths[0]", 'must be all of "analysis"'),
    ],
)
def test_a_mask_with_a_path_that_cannot_be_set_is_refused_by_name(
    experiments: ExperimentRegistry, paths: list[str], field: str, says: str
) -> None:
    before = experiments.create(definition(), actor="ann")
    with pytest.raises(InvalidRequest, match=says) as caught:
        experiments.update(changed(owner="search"), paths, **WHO)
    assert blamed(caught.value) == [field]
    assert experiments.get("title-boost") == before


def test_an_updated_draft_is_checked_as_a_whole(experiments: ExperimentRegistry) -> None:
    experiments.create(changed(control="treatment"), actor="ann")
    arms = [pb.Arm(name="a", share=0.5), pb.Arm(name="b", share=0.6)]
    with pytest.raises(InvalidRequest) as caught:
        experiments.update(pb.Experiment(name="title-boost", arms=arms), ["arms"], **WHO)
    assert blamed(caught.value) == ["arms[0]", "arms[1]", "arms", "control"]


def test_what_was_made_of_a_field_is_made_again(experiments: ExperimentRegistry) -> None:
    experiments.create(definition(), actor="ann")
    ramp = pb.Ramp(steps=[pb.RampStep(traffic_share=0.01), pb.RampStep(traffic_share=1)])
    after = experiments.update(changed(layer="b", ramp=ramp), ["layer", "ramp"], **WHO).experiment
    assert (after.layer, after.salt, after.traffic_share) == ("b", "b/title-boost", 100)
    after = experiments.update(definition(), ["ramp"], **WHO).experiment
    assert (after.ramp, after.traffic_share) == (None, 100), "nobody asked for all the traffic"


def test_a_stale_etag_keeps_an_update_back(experiments: ExperimentRegistry) -> None:
    seen = experiments.create(definition(), actor="ann").etag
    experiments.update(changed(owner="search"), ["owner"], etag=seen, **WHO)
    with pytest.raises(Conflict):
        experiments.update(changed(owner="ads"), ["owner"], etag=seen, **WHO)
    with pytest.raises(Conflict):
        experiments.ramp("title-boost", 1.0, etag=seen, **WHO)


def test_a_ramp_gives_every_arm_whole_buckets(experiments: ExperimentRegistry) -> None:
    experiments.create(changed(traffic_share=0.01), actor="ann")
    experiments.start("title-boost", **WHO)
    for share in (0.0501, 0.00001, 2.0, float("nan")):
        with pytest.raises(InvalidRequest) as caught:
            experiments.ramp("title-boost", share, **WHO)
        assert blamed(caught.value) == ["traffic_share"]
    assert experiments.ramp("title-boost", 0.05, **WHO).experiment.traffic_share == 500


def test_applying_again_changes_what_differs(experiments: ExperimentRegistry) -> None:
    made = experiments.apply(changed(traffic_share=0.01), **WHO)
    assert experiments.apply(changed(traffic_share=0.01), **WHO) == made
    assert experiments.apply(changed(traffic_share=0.02), **WHO).revision == 2
    experiments.start("title-boost", **WHO)
    experiments.ramp("title-boost", 0.5, **WHO)
    ramped = experiments.apply(changed(traffic_share=0.02, owner="search"), **WHO)
    assert (ramped.experiment.owner, ramped.experiment.traffic_share) == ("search", 5_000)
    with pytest.raises(NotReady, match="cannot change once it ran") as caught:
        experiments.apply(changed(primary_metric="user_ctr"), **WHO)
    assert blamed(caught.value) == ["primary_metric"]


def test_a_layer_is_set_by_a_part_of_all_units(experiments: ExperimentRegistry) -> None:
    assert experiments.set_layer("default", 0.05, **WHO).holdout_share == 500
    for name, share, field in (
        ("?", 0.1, "name"),
        ("default", 1.0, "holdout_share"),
        ("default", 0.00001, "holdout_share"),
        ("default", float("nan"), "holdout_share"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            experiments.set_layer(name, share, **WHO)
        assert blamed(caught.value) == [field]
