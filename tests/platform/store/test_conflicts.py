"""Which experiments may not run beside each other."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.platform.store.defined import NEW, OLD, experiment

from ranklift.store.conflicts import conflict, unmeetable
from ranklift.store.values import (
    Arm,
    Condition,
    Experiment,
    Exploration,
    ExplorationMethod,
    Prerequisite,
    Unit,
)

EXPLORING = (Arm("all", 10_000, exploration=Exploration(ExplorationMethod.SWAP, 5, 0.1)),)
SHADOWING = (Arm("all", 10_000, shadows=(NEW,)),)


def one_arm(name: str, layer: str, arms: tuple[Arm, ...], **changes: object) -> Experiment:
    return experiment(name, layer, arms=arms, control="all", **changes)


def at(*values: str, negated: bool = False) -> tuple[Condition, ...]:
    return (Condition("country", values, negated),)


def test_two_rankers_of_different_layers_conflict_and_the_other_is_named() -> None:
    why = conflict(experiment("new", "b"), experiment("first", "a"))
    assert why.startswith('"first" of layer "a" decides the ranker of the same pages; ')
    assert 'choose layer "a"' in why


def test_experiments_of_one_layer_share_no_unit() -> None:
    assert conflict(experiment("new"), experiment("first")) == ""


def test_a_layer_has_one_kind_of_unit() -> None:
    """A user and a session of one page fall into different slots, so both would have the page."""
    why = conflict(experiment("new", unit=Unit.SESSION), experiment("first"))
    assert why.startswith('"first" randomises users in layer "default"')


@pytest.mark.parametrize(
    ("one", "other", "conflicts"),
    [
        (EXPLORING, EXPLORING, True),
        (EXPLORING, SHADOWING, False),
        (SHADOWING, SHADOWING, False),
        (EXPLORING, experiment().arms, False),
    ],
)
def test_explorations_conflict_and_shadows_never(
    one: tuple[Arm, ...], other: tuple[Arm, ...], conflicts: bool
) -> None:
    first = experiment("first", "a", arms=other, control=other[0].name)
    assert bool(conflict(one_arm("new", "b", one), first)) is conflicts


def test_an_exploring_ranker_conflicts_with_an_explorer() -> None:
    exploration = Exploration(ExplorationMethod.SWAP, 5, 0.1)
    arms = (Arm("old", 5_000, OLD, exploration=exploration), Arm("new", 5_000, NEW))
    why = conflict(experiment("new", "b", arms=arms), one_arm("first", "a", EXPLORING))
    assert "explores the same pages" in why


def test_prerequisites_of_disjoint_arms_exclude_each_other() -> None:
    def needing(*arms: str, of: str = "base") -> tuple[Prerequisite, ...]:
        return (Prerequisite(of, arms),)

    first = experiment("first", "a", prerequisites=needing("x", "y"))
    assert not conflict(experiment("new", "b", prerequisites=needing("z")), first)
    assert conflict(experiment("new", "b", prerequisites=needing("y", "z")), first)
    assert conflict(experiment("new", "b", prerequisites=needing("z", of="other")), first)


conditions = st.lists(
    st.builds(
        Condition,
        attribute=st.sampled_from(["country", "platform"]),
        values=st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=3).map(tuple),
        negated=st.booleans(),
    ),
    max_size=4,
).map(tuple)


def met(conditions: tuple[Condition, ...], request: dict[str, str]) -> bool:
    return all((request[c.attribute] in c.values) is not c.negated for c in conditions)


@given(one=conditions, other=conditions)
def test_conditions_exclude_each_other_when_no_request_meets_both(
    one: tuple[Condition, ...], other: tuple[Condition, ...]
) -> None:
    """Held against every request that there is; "c" stands for any other value."""
    requests = [
        {"country": country, "platform": platform} for country, platform in product("abc", repeat=2)
    ] + [{"country": c, "platform": p} for c, p in product(["", "a", "b", "c"], repeat=2)]
    meet = any(met(one, request) and met(other, request) for request in requests)
    first = experiment("first", "a", conditions=one)
    assert bool(conflict(experiment("new", "b", conditions=other), first)) is meet
    assert bool(unmeetable(one)) is not any(met(one, request) for request in requests)
