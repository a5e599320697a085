"""The quick demo, as a user runs it: it ends well, it says what is true, and it repeats itself."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SEED = "5"


def run_demo(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ranklift.cli", "demo", "--quick", "--seed", SEED]
    return subprocess.run(
        [*command, "--home", str(home), *more], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "first"
    finished = run_demo(folder)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def report(home: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "report.json").read_text())
    return content


@pytest.mark.parametrize("metric", ["page_ctr", "user_ctr", "dwell_per_click"])
def test_every_metric_has_its_lift_and_its_true_lift(report: dict[str, Any], metric: str) -> None:
    found = report["metrics"][metric]
    lower, upper = found["interval"]
    assert lower < found["relative_lift"] < upper
    assert found["relative_lift"] == pytest.approx(found["arm_value"] / found["control_value"] - 1)
    assert 0 <= found["p_value"] <= 1
    assert math.isfinite(found["true_lift"])


def test_the_split_is_sound(report: dict[str, Any]) -> None:
    assert report["valid"]
    assert report["sample_ratio_p_value"] >= 0.001
    assert all(arm["fallback_pages"] == 0 for arm in report["arms"])


def test_the_teacher_beats_bm25_and_the_student_learns_from_it(report: dict[str, Any]) -> None:
    accuracy = {version: figures["pair_accuracy"] for version, figures in report["offline"].items()}
    assert accuracy["teacher@1"] > accuracy["bm25@1"]
    assert accuracy["student@1"] > accuracy["bm25@1"]


def test_a_better_student_was_retrained_and_meets_users(report: dict[str, Any]) -> None:
    retrained = report["retrained"]
    assert retrained["version"] == "student@2"
    by_metric = {each["metric"]: each for each in retrained["comparisons"]}
    assert by_metric["pair_accuracy"]["difference_lower"] > -0.01
    assert retrained["experiment"]["experiment"] == "student-2"
    assert sum(arm["pages"] for arm in retrained["experiment"]["arms"]) > 0


def test_the_same_seed_gives_the_same_report(home: Path) -> None:
    again = home.parent / "again"
    assert run_demo(again).returncode == 0
    assert (again / "report.json").read_bytes() == (home / "report.json").read_bytes()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    refused = run_demo(tmp_path)

    assert refused.returncode == 2
    assert "holds something else than a demo" in refused.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_collection_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    refused = run_demo(tmp_path / "home", "--collection", str(tmp_path / "nothing"))

    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) <= 3
    assert "nothing" in refused.stderr
