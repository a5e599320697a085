"""The OpenFeature SDK reads what the platform assigns, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from ranklift.cli.composition import registry_of
from ranklift.cli.processes import free_address
from ranklift.cli.servers import gateway
from ranklift.settings import Settings, load_settings
from ranklift.store.values import Arm, Condition, Experiment, ModelRef, ModelVersion, Unit
from ranklift.traffic.client import AssignmentClient
from ranklift.traffic.openfeature import ArmProvider
from ranklift.traffic.routing import Route, RunningExperiment
from ranklift.traffic.splitter import assign

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
ARMS = (Arm("control", 5_000, CHAMPION), Arm("new", 5_000, CHALLENGER))
TITLES = Experiment(
    "title-boost",
    ARMS,
    "control",
    "default/title-boost",
    layer_share=5_000,
    conditions=(Condition("country", ("NL",)), Condition("mobile", ("true",))),
    forced=(("tester", "new"),),
)
SESSIONS = Experiment(
    "sessions",
    (Arm("shadowed", 5_000, shadows=(CHALLENGER,)), Arm("alone", 5_000)),
    "alone",
    "s",
    layer="shadow",
    unit=Unit.SESSION,
)


class Aged:
    """Assignments whose age the test says."""

    def __init__(self, client: AssignmentClient) -> None:
        self.client = client
        self.age_seconds = 0.0

    def running(self) -> Mapping[str, RunningExperiment]:
        return self.client.running()

    def assign(self, user_id: str, session_id: str, attributes: Mapping[str, str]) -> Route:
        return self.client.assign(user_id, session_id, attributes)


@pytest.fixture
def assignments(tmp_path: Path, version: Callable[[ModelRef], ModelVersion]) -> Iterator[Aged]:
    """What a client of a running platform knows; the platform is gone afterwards."""
    settings = load_settings(home=tmp_path / "home")
    address = free_address()
    at = settings.gateway.model_copy(update={"address": address, "rankers": ()})
    with registry_of(settings) as registry:
        for ref in (CHAMPION, CHALLENGER):
            registry.models.register(version(ref))
        registry.models.set_champion(CHAMPION, actor="ann", reason="")
        for experiment in (TITLES, SESSIONS):
            registry.experiments.create(experiment, actor="ann")
            registry.experiments.start(experiment.name, actor="ann", reason="")

    async def read(settings: Settings) -> AssignmentClient:
        async with gateway(settings):
            return await asyncio.to_thread(AssignmentClient, address, interval_seconds=3_600)

    with asyncio.run(read(settings.model_copy(update={"gateway": at}))) as client:
        yield Aged(client)


@pytest.fixture
def flags(assignments: Aged) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(ArmProvider(assignments))
    yield api.get_client()
    api.clear_providers()


def of(unit: str, **attributes: Any) -> EvaluationContext:
    return EvaluationContext(unit, {"country": "NL", "mobile": True, **attributes})


def test_a_flag_is_the_arm_that_the_platform_assigns(
    flags: OpenFeatureClient, assignments: Aged
) -> None:
    seen = set()
    for unit in (f"user-{i}" for i in range(40)):
        route = assignments.assign(unit, "", {"country": "NL", "mobile": "true"})
        found = flags.get_string_details("title-boost", "nothing", of(unit))
        if not route.assignments:
            assert (found.value, found.reason, found.variant) == ("nothing", Reason.DEFAULT, None)
            continue
        (assigned,) = route.assignments
        assert found.value == found.variant == assigned.arm
        alone = assign(TITLES, unit)
        assert alone is not None
        assert (found.value, found.flag_metadata["bucket"]) == (alone.arm.name, alone.bucket)
        assert found.reason == Reason.SPLIT
        assert flags.get_boolean_value("title-boost", False, of(unit)) == (found.value == "new")
        whole: Any = flags.get_object_value("title-boost", {}, of(unit))
        assert (whole["arm"], whole["unit_id"]) == (found.value, unit)
        assert whole["model"] == str(CHALLENGER if found.value == "new" else CHAMPION)
        seen.add(found.value)
    assert seen == {"control", "new"}


def test_attributes_are_what_conditions_see(flags: OpenFeatureClient) -> None:
    for unit in (f"user-{i}" for i in range(20)):
        for other in ({"country": "BE"}, {"mobile": False}):
            found = flags.get_string_details("title-boost", "nothing", of(unit, **other))
            assert found.reason == Reason.DEFAULT


def test_a_named_unit_has_its_arm(flags: OpenFeatureClient) -> None:
    found = flags.get_string_details("title-boost", "nothing", EvaluationContext("tester"))
    assert (found.value, found.reason) == ("new", Reason.TARGETING_MATCH)


def test_an_attribute_says_whose_id_it_is(flags: OpenFeatureClient) -> None:
    for i in range(10):
        session = EvaluationContext("somebody", {"session_id": f"s{i}"})
        alone = assign(SESSIONS, f"s{i}")
        assert alone is not None
        assert flags.get_string_value("sessions", "nothing", session) == alone.arm.name
        as_key = EvaluationContext(f"s{i}")
        assert flags.get_string_value("sessions", "nothing", as_key) == alone.arm.name


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda f: f.get_string_details("no-such", "x", of("u")), ErrorCode.FLAG_NOT_FOUND),
        (lambda f: f.get_string_details("title-boost", "x"), ErrorCode.TARGETING_KEY_MISSING),
        (lambda f: f.get_integer_details("title-boost", 1, of("u")), ErrorCode.TYPE_MISMATCH),
        (lambda f: f.get_float_details("title-boost", 1.0, of("u")), ErrorCode.TYPE_MISMATCH),
    ],
)
def test_what_cannot_be_resolved_has_the_standards_code_and_the_default(
    flags: OpenFeatureClient, ask: Callable[[OpenFeatureClient], Any], code: ErrorCode
) -> None:
    found = ask(flags)
    assert found.error_code == code
    assert found.reason == Reason.ERROR
    assert found.value in ("x", 1, 1.0)


def test_an_old_configuration_still_resolves_and_the_provider_is_stale(
    flags: OpenFeatureClient, assignments: Aged
) -> None:
    named = EvaluationContext("tester")
    assert flags.get_provider_status() == ProviderStatus.READY
    assignments.age_seconds = 60.0
    assert flags.get_string_value("title-boost", "nothing", named) == "new"
    assert flags.get_provider_status() == ProviderStatus.STALE
    assignments.age_seconds = 0.5
    assert flags.get_string_value("title-boost", "nothing", named) == "new"
    assert flags.get_provider_status() == ProviderStatus.READY
