"""Which version serves a request, given what runs and who is the champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ranklift.store.values import (
    BUCKETS,
    Arm,
    Condition,
    Experiment,
    ExperimentState,
    Exploration,
    ExplorationMethod,
    Layer,
    ModelRef,
    Prerequisite,
    RegisteredExperiment,
    Unit,
)
from ranklift.traffic.routing import ServingConfig
from ranklift.traffic.splitter import bucket_of
from ranklift.v1.ranking_pb2 import RankRequest

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
Running = Callable[..., RegisteredExperiment]


def test_a_unit_is_routed_to_its_arm(running: Running) -> None:
    """user-1 falls into bucket 5949 and user-6 into 258, as docs/assignment.md says."""
    config = ServingConfig.of([running()], CHAMPION)
    treated, controlled = config.route("user-1", ""), config.route("user-6", "")
    assert (treated.model, controlled.model) == (CHALLENGER, CHAMPION)
    (assignment,) = treated.assignments
    assert (assignment.experiment, assignment.revision) == ("title-boost", 2)
    assert (assignment.layer, assignment.arm) == ("default", "treatment")
    assert (assignment.unit_id, assignment.bucket) == ("user-1", 5_949)


def test_whoever_takes_no_part_is_served_by_the_champion(running: Running) -> None:
    tenth = ServingConfig.of([running(traffic_share=1_000)], CHAMPION)
    assert tenth.route("user-1", "").assignments == ()
    assert tenth.route("user-1", "").model == CHAMPION
    assert tenth.route("user-20", "").model == CHALLENGER


def test_a_request_without_the_unit_is_served_by_the_champion(running: Running) -> None:
    of_users = ServingConfig.of([running()], CHAMPION)
    of_sessions = ServingConfig.of([running(unit=Unit.SESSION)], CHAMPION)
    assert of_users.route("", "user-1").assignments == ()
    assert of_sessions.route("user-1", "").assignments == ()
    (assignment,) = of_sessions.route("somebody", "user-1").assignments
    assert (assignment.unit_id, assignment.arm) == ("user-1", "treatment")
    assert ServingConfig().route("user-1", "").model is None


def of_layer(name: str, layer: str = "default", **fields: Any) -> RegisteredExperiment:
    """An experiment that runs in a part of a layer; it ranks unless `arms` say otherwise."""
    slots = fields.pop("slots", ((0, BUCKETS),))
    arms = fields.pop("arms", (Arm("control", 5_000, CHAMPION), Arm("new", 5_000, CHALLENGER)))
    one = Experiment(name, arms, arms[0].name, f"{layer}/{name}", layer=layer, **fields)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    return RegisteredExperiment(one, ExperimentState.RUNNING, 3, now, now, slots=slots)


def shadowing(name: str, layer: str, **fields: Any) -> RegisteredExperiment:
    """An experiment of everybody that leaves the ranker alone."""
    arms = (Arm("shadowed", BUCKETS, shadows=(CHALLENGER,)),)
    return of_layer(name, layer, arms=arms, **fields)


LAYER = Layer("default", "default/slots/2", holdout_share=1_000)
UNITS = [f"user-{i}" for i in range(4_000)]


def test_experiments_of_one_layer_share_no_unit_and_leave_none_out() -> None:
    config = ServingConfig.of(
        [
            of_layer("one", slots=((0, 3_000), (9_000, BUCKETS))),
            of_layer("two", slots=((3_000, 9_000),)),
        ],
        CHAMPION,
        [LAYER],
    )
    met = {unit: config.route(unit, "").assignments for unit in UNITS}
    for unit, assignments in met.items():
        slot, held = bucket_of(LAYER.salt, unit), bucket_of("default/holdout", unit) < 1_000
        expected = [] if held else ["two" if 3_000 <= slot < 9_000 else "one"]
        assert [one.experiment for one in assignments] == expected
    assert 0.08 < sum(not one for one in met.values()) / len(UNITS) < 0.12


def test_another_salt_of_the_layer_moves_slots_and_neither_arms_nor_the_holdout() -> None:
    half = of_layer("one", slots=((0, 5_000),))
    before = ServingConfig.of([half], CHAMPION, [LAYER])
    after = ServingConfig.of([half], CHAMPION, [replace(LAYER, salt="default/slots/3")])
    both = moved = 0
    for unit in UNITS:
        old, new = before.route(unit, "").assignments, after.route(unit, "").assignments
        moved += bool(old) != bool(new)
        if old and new:
            assert old == new
            both += 1
        if bucket_of("default/holdout", unit) < 1_000:
            assert not old
            assert not new
    assert min(both, moved) > 500


def test_a_page_is_in_one_experiment_of_each_layer() -> None:
    config = ServingConfig.of(
        [of_layer("ranker-test", "ranker"), shadowing("shadow-test", "shadow")], CHAMPION
    )
    for unit in UNITS[:100]:
        route = config.route(unit, "")
        assert [one.experiment for one in route.assignments] == ["ranker-test", "shadow-test"]
        assert route.ranked_by == route.assignments[0]
        arm = route.assignments[0].arm
        assert route.model == (CHALLENGER if arm == "new" else CHAMPION)
        assert route.shadows == (CHALLENGER,)
    alone = ServingConfig.of([shadowing("shadow-test", "shadow")], CHAMPION).route("user-1", "")
    assert (alone.model, alone.ranked_by) == (CHAMPION, None)


def test_what_another_layer_does_changes_no_assignment() -> None:
    one = of_layer("ranker-test", "ranker")
    alone = ServingConfig.of([one], CHAMPION)
    beside = ServingConfig.of(
        [shadowing("a", "shadow"), one], CHAMPION, [Layer("shadow", "s", holdout_share=5_000)]
    )
    for unit in UNITS[:500]:
        (expected,) = alone.route(unit, "").assignments
        assert expected in beside.route(unit, "").assignments


@pytest.mark.parametrize(
    ("condition", "attributes", "holds"),
    [
        pytest.param(Condition("country", ("NL", "BE")), {"country": "BE"}, True, id="one-of"),
        pytest.param(Condition("country", ("NL",)), {"country": "DE"}, False, id="none-of"),
        pytest.param(Condition("country", ("NL",)), {}, False, id="not-given"),
        pytest.param(Condition("country", ("", "NL")), {}, True, id="not-given-counts-as-empty"),
        pytest.param(Condition("country", ("NL",), True), {"country": "NL"}, False, id="not"),
        pytest.param(Condition("country", ("NL",), True), {}, True, id="not-and-not-given"),
        pytest.param(Condition("country", ("nl",)), {"country": "NL"}, False, id="case-counts"),
    ],
)
def test_conditions_are_on_the_attributes_of_the_request(
    condition: Condition, attributes: dict[str, str], holds: bool
) -> None:
    other = Condition("platform", ("ios", ""))
    config = ServingConfig.of([of_layer("one", conditions=(other, condition))], CHAMPION)
    assert bool(config.route("user-1", "", attributes).assignments) == holds
    assert not config.route("user-1", "", attributes | {"platform": "web"}).assignments


def test_a_request_is_not_changed_by_looking_for_its_attributes() -> None:
    request = RankRequest(attributes={"country": "NL"})
    config = ServingConfig.of(
        [of_layer("one", conditions=(Condition("platform", ("ios",)),))], CHAMPION
    )
    config.route("user-1", "", request.attributes)
    assert dict(request.attributes) == {"country": "NL"}


def test_a_prerequisite_is_an_arm_of_another_running_experiment() -> None:
    base = of_layer("base", "ranker")
    nested = shadowing("nested", "shadow", prerequisites=(Prerequisite("base", ("new",)),))
    config = ServingConfig.of([nested, base], CHAMPION)
    for unit in UNITS[:300]:
        met = {one.experiment: one.arm for one in config.route(unit, "").assignments}
        assert ("nested" in met) == (met["base"] == "new")
    without = ServingConfig.of([nested], CHAMPION)
    assert not any(without.route(unit, "").assignments for unit in UNITS[:300])


def test_a_prerequisite_counts_as_little_as_its_experiment_does_for_the_unit() -> None:
    """Held out of the one, a unit is out of what needs the one, whichever layer that is in."""
    layer = Layer("ranker", "ranker/slots/1", holdout_share=5_000)
    nested = shadowing(
        "nested", "shadow", prerequisites=(Prerequisite("base", ("control", "new")),)
    )
    config = ServingConfig.of([nested, of_layer("base", "ranker")], CHAMPION, [layer])
    for unit in UNITS[:300]:
        held = bucket_of("ranker/holdout", unit) < 5_000
        assert len(config.route(unit, "").assignments) == (0 if held else 2)


def test_a_named_unit_meets_its_arm_whatever_the_rest_says_and_counts_nowhere() -> None:
    config = ServingConfig.of(
        [
            of_layer(
                "one",
                slots=((0, 1),),
                traffic_share=1,
                conditions=(Condition("country", ("nowhere",)),),
                forced=(("tester", "new"),),
            ),
            of_layer("two", slots=((1, BUCKETS),)),
        ],
        CHAMPION,
        [replace(LAYER, holdout_share=9_999)],
    )
    route = config.route("tester", "")
    assert route.assignments == ()
    (named,) = route.forced
    assert (named.experiment, named.arm, named.unit_id) == ("one", "new", "tester")
    assert named.bucket == bucket_of("default/one", "tester")
    assert route.model == CHALLENGER
    assert route.ranked_by == named


def test_a_named_unit_of_one_layer_still_counts_in_another() -> None:
    config = ServingConfig.of(
        [of_layer("one", "ranker", forced=(("tester", "new"),)), shadowing("two", "shadow")],
        CHAMPION,
    )
    route = config.route("tester", "")
    assert [one.experiment for one in route.forced] == ["one"]
    assert [one.experiment for one in route.assignments] == ["two"]


def test_what_the_registry_should_have_kept_apart_shares_no_page_either() -> None:
    config = ServingConfig.of([of_layer("b", "two"), of_layer("a", "one")], CHAMPION)
    for unit in UNITS[:50]:
        (assignment,) = config.route(unit, "").assignments
        assert assignment.experiment == "a"


def test_who_is_named_for_a_unit_comes_before_who_drew_it() -> None:
    """In one layer, and over the ranker: "b" comes later by name, and wins all the same."""
    for layer in ("one", "two"):
        config = ServingConfig.of(
            [of_layer("a", "one"), of_layer("b", layer, forced=(("tester", "new"),))], CHAMPION
        )
        route = config.route("tester", "")
        assert (route.assignments, [met.experiment for met in route.forced]) == ((), ["b"])
        assert route.ranked_by == route.forced[0]


def test_a_page_is_explored_for_one_experiment_and_logged_for_no_other() -> None:
    explored = [
        of_layer(name, layer, arms=(Arm("explored", BUCKETS, exploration=exploration),))
        for name, layer, exploration in (
            ("b", "two", Exploration(ExplorationMethod.SWAP, 5, 0.5)),
            ("a", "one", Exploration(ExplorationMethod.SWAP, 5, 0.1)),
        )
    ]
    route = ServingConfig.of(explored, CHAMPION).route("user-1", "")
    assert [met.experiment for met in route.assignments] == ["a"]
    assert route.exploration == Exploration(ExplorationMethod.SWAP, 5, 0.1)
    assert route.model == CHAMPION


def test_prerequisites_of_prerequisites_are_looked_at_once_each() -> None:
    """Sixteen levels of four that need all four of the level below: 4^15 ways, 64 experiments."""
    levels = [
        [
            shadowing(
                f"e{level}-{i}",
                f"l{level}-{i}",
                prerequisites=tuple(
                    Prerequisite(f"e{level - 1}-{j}", ("shadowed",)) for j in range(4) if level
                ),
            )
            for i in range(4)
        ]
        for level in range(16)
    ]
    config = ServingConfig.of([one for level in levels for one in level], CHAMPION)
    assert len(config.route("user-1", "").assignments) == 64


def test_an_experiment_without_slots_in_a_known_layer_has_nobody() -> None:
    layer = Layer("default", "default/slots/1")
    config = ServingConfig.of([of_layer("lost", slots=()), of_layer("two")], CHAMPION, [layer])
    for unit in UNITS[:200]:
        assert [one.experiment for one in config.route(unit, "").assignments] == ["two"]
