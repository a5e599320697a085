"""Layers in the registry: slots, holdouts, fresh salts, conflicts, and races for them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable

import pytest
from tests.platform.store.defined import NEW, experiment, register_models

from ranklift.store.experiments import Experiments
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import (
    Arm,
    Condition,
    Decision,
    ExperimentState,
    Layer,
    Prerequisite,
    RegisteredExperiment,
    Unit,
)
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady, RequestError

WHO = {"actor": "ann", "reason": "because"}


@pytest.fixture
def experiments(registry: Registry) -> Experiments:
    register_models(registry)
    return registry.experiments


def running(experiments: Experiments, name: str, **changes: object) -> RegisteredExperiment:
    experiments.create(experiment(name, **changes), actor="ann")  # type: ignore[arg-type]
    return experiments.start(name, **WHO)


def conclude(experiments: Experiments, name: str) -> RegisteredExperiment:
    return experiments.conclude(name, Decision.NONE, **WHO)


def fields(error: pytest.ExceptionInfo[RequestError]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def test_a_layer_begins_with_its_first_salt_and_no_holdout(experiments: Experiments) -> None:
    experiments.create(experiment(layer="ranking"), actor="ann")
    assert experiments.layers() == (Layer("ranking", "ranking/slots/1", 0),)


def test_experiments_share_a_layer_as_far_as_it_goes(experiments: Experiments) -> None:
    assert running(experiments, "a", layer_share=3_000).slots == ((0, 3_000),)
    assert running(experiments, "b", layer_share=5_000).slots == ((3_000, 8_000),)
    experiments.create(experiment("c", layer_share=4_000), actor="ann")
    says = r'has 0\.2 free and "c" needs 0\.4; "a" \(0\.3\), "b" \(0\.5\) hold the rest'
    with pytest.raises(NotReady, match=says) as error:
        experiments.start("c", **WHO)
    assert fields(error) == ["layer_share"]
    assert experiments.get("c").slots == ()
    conclude(experiments, "a")
    assert experiments.start("c", **WHO).slots == ((0, 3_000), (8_000, 9_000))


def test_a_paused_experiment_keeps_its_slots_and_a_concluded_one_does_not(
    experiments: Experiments,
) -> None:
    held = running(experiments, "a", layer_share=3_000).slots
    assert experiments.pause("a", **WHO).slots == held
    running(experiments, "b", layer_share=3_000)
    assert experiments.start("a", **WHO).slots == held
    over = conclude(experiments, "a")
    assert over.slots == ()
    assert experiments.get("a") == over


def test_the_salt_changes_when_the_last_experiment_is_concluded(experiments: Experiments) -> None:
    def salts() -> list[str]:
        return [layer.salt for layer in experiments.layers()]

    running(experiments, "a", layer_share=3_000)
    running(experiments, "b", layer_share=3_000)
    shadowing = (Arm("all", 10_000, shadows=(NEW,)),)
    running(experiments, "c", layer="other", arms=shadowing, control="all")
    experiments.pause("b", **WHO)
    conclude(experiments, "a")
    assert salts() == ["default/slots/1", "other/slots/1"], '"b" still holds its slots'
    before = experiments.version()
    conclude(experiments, "b")
    assert salts() == ["default/slots/2", "other/slots/1"]
    assert experiments.version() > before


CH = (Condition("country", ("ch",)),)
# Whoever is not there; with CH no page has both.
ELSEWHERE = (Condition("country", ("ch",), negated=True),)


def test_a_holdout_is_set_before_anything_runs(experiments: Experiments) -> None:
    experiments.create(experiment(), actor="ann")
    before = experiments.version()
    assert experiments.set_layer("default", 500, **WHO).holdout_share == 500
    assert experiments.version() == before + 1
    assert experiments.set_layer("default", 500, **WHO).holdout_share == 500
    assert experiments.version() == before + 1, "nothing changed"
    assert experiments.set_layer("new", 100, **WHO) == Layer("new", "new/slots/1", 100)
    experiments.start("bert", **WHO)
    for _ in range(2):
        with pytest.raises(NotReady, match=r'"bert" is (running|paused) in layer "default"'):
            experiments.set_layer("default", 600, **WHO)
        if experiments.get("bert").state is ExperimentState.RUNNING:
            experiments.pause("bert", **WHO)
    conclude(experiments, "bert")
    assert experiments.set_layer("default", 0, **WHO).holdout_share == 0


@pytest.mark.parametrize("share", [-1, 10_000])
def test_a_holdout_is_a_part_of_all_units(experiments: Experiments, share: int) -> None:
    with pytest.raises(InvalidRequest, match=r"is not in \[0, 1\)"):
        experiments.set_layer("default", share, **WHO)


def test_a_conflict_is_found_at_registration_and_at_the_start(experiments: Experiments) -> None:
    experiments.create(experiment("late", layer="b"), actor="ann")
    running(experiments, "first", layer="a")
    says = '"first" of layer "a" decides the ranker of the same pages'
    with pytest.raises(NotReady, match=says) as error:
        experiments.create(experiment("new", layer="b"), actor="ann")
    assert fields(error) == ["layer"]
    with pytest.raises(NotFound):
        experiments.get("new")
    with pytest.raises(NotReady, match=says):
        experiments.start("late", **WHO)
    experiments.pause("first", **WHO)
    with pytest.raises(NotReady, match=says):
        experiments.start("late", **WHO)  # or "first" could not go on
    conclude(experiments, "first")
    experiments.start("late", **WHO)


def test_a_draft_is_held_against_the_others_when_it_changes(experiments: Experiments) -> None:
    running(experiments, "first", layer="a", conditions=CH)
    experiments.create(experiment("new", layer="b", conditions=ELSEWHERE), actor="ann")
    with pytest.raises(NotReady, match='"first" of layer "a"'):
        experiments.update("new", experiment("new", layer="b"), {"conditions"}, **WHO)
    assert experiments.get("new").experiment.conditions == ELSEWHERE
    experiments.start("new", **WHO)


def test_prerequisites_must_exist_with_their_arms_in_another_layer(
    experiments: Experiments,
) -> None:
    experiments.create(experiment("base"), actor="ann")

    def needing(name: str, *arms: str, **changes: object) -> None:
        needs = (Prerequisite(name, arms),)
        experiments.create(
            experiment("new", prerequisites=needs, **changes),  # type: ignore[arg-type]
            actor="ann",
        )

    with pytest.raises(NotFound, match='there is no experiment "absent"') as error:
        needing("absent", "old")
    assert fields(error) == ["prerequisites[0].experiment"]
    with pytest.raises(InvalidRequest) as refused:
        needing("base", "old", "nobody")
    assert fields(refused) == ["prerequisites[0].experiment", "prerequisites[0].arms[1]"]
    needing("base", "new", layer="b")


def test_prerequisites_do_not_go_round_in_a_circle(experiments: Experiments) -> None:
    for name, needs in (("a", ""), ("b", "a"), ("c", "b")):
        prerequisites = (Prerequisite(needs, ("new",)),) if needs else ()
        of = experiment(name, layer=name, prerequisites=prerequisites)
        experiments.create(of, actor="ann")
    circle = experiment("a", layer="a", prerequisites=(Prerequisite("c", ("new",)),))
    with pytest.raises(InvalidRequest, match='circle: "a" needs "c" needs "b" needs "a"'):
        experiments.update("a", circle, {"prerequisites"}, **WHO)
    with pytest.raises(InvalidRequest, match='circle: "d" needs "d"'):
        experiments.create(
            experiment("d", prerequisites=(Prerequisite("d", ("new",)),)), actor="ann"
        )


def test_a_layer_has_one_kind_of_unit(experiments: Experiments) -> None:
    running(experiments, "users", layer_share=1_000)
    with pytest.raises(NotReady, match='"users" randomises users in layer "default"'):
        experiments.create(experiment("sessions", unit=Unit.SESSION), actor="ann")


def _start(url: str, name: str, gate: object, outcomes: object) -> None:
    registry = open_registry(url)
    try:
        gate.wait(30)  # type: ignore[attr-defined]
        registry.experiments.start(name, actor="ann", reason="go")
        outcomes.put((name, "won"))  # type: ignore[attr-defined]
    except RequestError as error:
        outcomes.put((name, str(error)))  # type: ignore[attr-defined]
    finally:
        registry.close()


def race(url: str, names: Iterable[str]) -> dict[str, str]:
    """Start experiments at once, each in a process of its own."""
    names = list(names)
    spawn = multiprocessing.get_context("spawn")
    gate, outcomes = spawn.Barrier(len(names)), spawn.Queue()
    processes = [spawn.Process(target=_start, args=(url, n, gate, outcomes)) for n in names]
    for process in processes:
        process.start()
    found = dict(outcomes.get(timeout=60) for _ in names)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    return found


def test_of_processes_that_race_for_a_layer_as_many_win_as_have_room(
    registry_url: str, experiments: Experiments
) -> None:
    names = [f"e{i}" for i in range(4)]
    for name in names:
        experiments.create(experiment(name, layer_share=4_000), actor="ann")
    outcomes = race(registry_url, names)
    assert sorted(outcome == "won" for outcome in outcomes.values()) == [False] * 2 + [True] * 2
    slots = sorted(one.slots for one in experiments.running())
    assert slots == [((0, 4_000),), ((4_000, 8_000),)]


def test_of_processes_that_race_for_one_page_from_different_layers_one_wins(
    registry_url: str, experiments: Experiments
) -> None:
    names = [f"e{i}" for i in range(3)]
    for name in names:
        experiments.create(experiment(name, layer=name), actor="ann")
    outcomes = race(registry_url, names)
    (winner,) = [name for name, outcome in outcomes.items() if outcome == "won"]
    assert [one.experiment.name for one in experiments.running()] == [winner]
    losers = [outcome for outcome in outcomes.values() if outcome != "won"]
    assert all(f'"{winner}" of layer "{winner}" decides the ranker' in one for one in losers)
