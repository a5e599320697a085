"""Which version serves a request, given what runs and who is the champion."""

from __future__ import annotations

from collections.abc import Callable

from ranklift.store.values import ModelRef, RegisteredExperiment, Unit
from ranklift.traffic.routing import ServingConfig

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
