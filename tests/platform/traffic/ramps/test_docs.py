"""The example of docs/ramps.md is an experiment that may be registered."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.store.analysis import Guardrail
from ranklift.store.values import HarmAction, RampStep
from ranklift.traffic.experiment_file import read_experiment_file
from ranklift.traffic.experiments import check_experiment

DOCS = Path(__file__).parents[4] / "docs" / "ramps.md"


def test_the_example_is_what_the_page_says(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    file = tmp_path / "student-7.toml"
    file.write_text(example)
    made = check_experiment(read_experiment_file(file), now=datetime(2026, 5, 1, tzinfo=UTC))
    day = timedelta(days=1)
    assert made.ramp is not None
    assert made.ramp.on_harm is HarmAction.ROLL_BACK
    assert made.ramp.steps == (
        RampStep(100, day, 1_000),
        RampStep(500, day),
        RampStep(2_500, 2 * day, 75_000),
        RampStep(5_000, 3 * day),
    )
    assert made.traffic_share == 100
    assert made.analysis.guardrails == (Guardrail("page_ctr", 0.01),)
