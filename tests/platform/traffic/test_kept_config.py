"""What a gateway keeps on disk comes back whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import (
    Arm,
    Condition,
    Exploration,
    ExplorationMethod,
    Interleaving,
    InterleavingMethod,
    Layer,
    ModelRef,
    Prerequisite,
    Ramp,
    RampStep,
    RegisteredExperiment,
    Revision,
)
from ranklift.traffic.kept_config import KeptConfig, RegistryState

ONE, TWO = ModelRef("bm25", "1"), ModelRef("student", "1")
URL = "sqlite:///registry.db"
Running = Callable[..., RegisteredExperiment]


@pytest.fixture
def state(running: Running) -> RegistryState:
    """A state with everything in it that an experiment can have."""
    arms = (
        Arm("control", 4_000, ONE, exploration=Exploration(ExplorationMethod.SWAP, 5, 0.1)),
        Arm("mixed", 6_000, interleaving=Interleaving((ONE, TWO), InterleavingMethod.BALANCED)),
    )
    registered = running(
        arms=arms,
        planned_end=datetime(2031, 1, 1, tzinfo=UTC),
        analysis=AnalysisPlan(planned_units=7),
        conditions=(Condition("country", ("de", "fr"), negated=True),),
        prerequisites=(Prerequisite("other", ("a",)),),
        forced=(("ann", "mixed"),),
        ramp=Ramp((RampStep(100, timedelta(hours=1), 50), RampStep(2_500))),
    )
    revision = Revision(1, registered.state, "ann", "why — ü", registered.created, 100)
    registered = replace(registered, revisions=(revision,), slots=((0, 4_000), (6_000, 7_000)))
    return RegistryState((registered,), ONE, (Layer("default", "default/slots/1", 500),))


@pytest.fixture
def kept(tmp_path: Path) -> KeptConfig:
    return KeptConfig(tmp_path / "cache" / "serving.json", URL)


def test_what_was_saved_is_loaded(kept: KeptConfig, state: RegistryState) -> None:
    assert kept.load() is None
    kept.save(RegistryState())
    kept.save(state)
    loaded = kept.load()
    assert loaded is not None
    assert loaded[0] == state
    assert loaded[0].config() == state.config()
    assert datetime.now(UTC) - loaded[1] < timedelta(minutes=1)


def change(content: dict[str, Any], path: str, value: object) -> None:
    *names, last = path.split(".")
    for name in names:
        content = content[int(name)] if isinstance(content, list) else content[name]
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ranklift", "999"),
        ("registry", "sqlite:////elsewhere/registry.db"),
        ("state.champion", "bm25@1"),
        ("state.champion.version", 1),
        ("state.running.0.state", "strolling"),
        ("state.running.0.experiment.traffic_share", "10000"),
        ("state.running.0.experiment.a_rule_of_tomorrow", True),
        ("saved", "yesterday"),
    ],
)
def test_what_is_not_ours_to_the_letter_is_ignored(
    kept: KeptConfig, state: RegistryState, tmp_path: Path, path: str, value: object
) -> None:
    kept.save(state)
    file = tmp_path / "cache" / "serving.json"
    content = json.loads(file.read_bytes())
    change(content, path, value)
    file.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    with structlog.testing.capture_logs() as logged:
        assert kept.load() is None
    assert [line["event"] for line in logged] == ["kept_config_ignored"]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_half_a_file_is_ignored(
    kept: KeptConfig, state: RegistryState, tmp_path: Path, length: int
) -> None:
    kept.save(state)
    file = tmp_path / "cache" / "serving.json"
    file.write_bytes(file.read_bytes()[:length])
    assert kept.load() is None


def test_a_save_that_fails_leaves_what_was_kept(
    kept: KeptConfig, state: RegistryState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save(state)

    def no_room(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        kept.save(RegistryState())
    loaded = kept.load()
    assert loaded is not None
    assert loaded[0] == state
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["serving.json"]
