"""`ranklift reproduce` as a user types it, at its tiniest: every table, and again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ranklift.cli import command
from ranklift.cli.reproduce.material import material_of
from ranklift.cli.reproduce.run_folder import RunFolder
from ranklift.cli.reproduce.scale import TINY
from ranklift.cli.reproduce.systems import LOSSES, cpt_sft, loss_systems
from ranklift.cli.reproduce.training import Training
from ranklift.cli.reproduce.workshop import Workshop
from ranklift.v1.errors import InvalidRequest, RequestError

Run = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def reproduce(out: Path, *arguments: str) -> str:
    """Run `ranklift reproduce --size tiny ARGUMENTS` and return what it prints."""
    line = ["reproduce", "--size", "tiny", "--out", str(out), *arguments]
    done = CliRunner().invoke(command(), line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def values(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "reproduce.json").read_text("utf-8"))
    return found


def figures(found: dict[str, Any], table: str) -> dict[tuple[str, str], dict[str, float]]:
    rows = found["tables"][table]["results"]
    return {(row["system"], row["unit"]): row["figures"] for row in rows}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with every table."""
    folder = tmp_path_factory.mktemp("reproduced")
    reproduce(folder, "--seeds", "1")
    return folder


def test_the_page_holds_every_table_and_a_verdict_on_every_claim(out: Path) -> None:
    page = (out / "reproduce.md").read_text("utf-8")
    for title in ("Teachers", "Losses of students", "Depths of students"):
        assert f") {title}" in page
    assert "(d) Throughput and cost" in page
    assert "(e) Score distributions" in page
    # One seed has no interval, so nothing can be shown.
    assert page.count("NOT SHOWN AT THESE SIZES") == 6
    assert "Command: `ranklift reproduce --tables a,b,c,d,e --seeds 1 --size tiny`" in page
    html = (out / "reproduce.html").read_text("utf-8")
    assert html.count("<svg") == len(LOSSES)


def test_json_holds_every_system_on_every_seed(out: Path) -> None:
    found = values(out)
    assert {system for system, _ in figures(found, "b")} == {loss.name for loss in LOSSES}
    assert len(figures(found, "a")) == 9
    for table in "abc":
        for each in figures(found, table).values():
            assert 0 < each["pair_accuracy"] < 1
            assert each["pnr"] > 0
    # The table of depths begins with the very student that the table of losses calls hybrid.
    assert figures(found, "c")["1 layer", "seed 0"] == figures(found, "b")["hybrid", "seed 0"]
    teacher, *students = found["speeds"]
    assert teacher["system"] == "teacher"
    assert [len(each["seconds"]) for each in students] == [TINY.rounds] * 2


def test_a_killed_run_goes_on_and_ends_like_an_unbroken_one(out: Path) -> None:
    before = values(out)
    results = sorted((out / "results").iterdir())
    kept = {path.name: path.stat().st_mtime_ns for path in results}
    lost = next(path for path in results if '"kind": "student"' in path.read_text("utf-8"))
    made = lost.read_text("utf-8")
    lost.unlink()
    shutil.rmtree(out / "models" / lost.stem)
    reproduce(out, "--seeds", "1")
    assert values(out) == before
    assert lost.read_text("utf-8") == made
    for path in results:
        assert (path.stat().st_mtime_ns == kept[path.name]) == (path != lost)


def test_the_same_seed_gives_the_same_figures_elsewhere(out: Path, tmp_path: Path) -> None:
    reproduce(tmp_path, "--seeds", "2", "--tables", "c")
    elsewhere = figures(values(tmp_path), "c")
    for (system, unit), each in figures(values(out), "c").items():
        assert elsewhere[system, unit] == each
    assert elsewhere["1 layer", "seed 0"] != elsewhere["1 layer", "seed 1"]


def test_a_training_that_breaks_down_counts_as_a_ranker_that_tells_nothing_apart(
    out: Path, tmp_path: Path
) -> None:
    workshop = Workshop(Training(RunFolder(tmp_path, {}), TINY))
    (system, *_) = loss_systems(TINY, lambda seed: cpt_sft(TINY, seed, 1e-3))
    found = workshop.measure(system.at(0, 1e30))
    assert "lower the learning rate" in found.failed
    assert found.figures["pair_accuracy"] == 0.5
    assert found.figures["pnr"] == 1.0


def test_nothing_is_learnt_from_held_out_queries() -> None:
    material = material_of(TINY, 3)
    held_out = {each.query for each in material.held_out}
    assert held_out
    assert held_out.isdisjoint(each.query for each in material.clicks)
    assert held_out.isdisjoint(each.query for each in (*material.judged, *material.unlabelled))
    judged = {each.query for each in material.judged}
    assert judged.isdisjoint(each.query for each in material.unlabelled)


def test_a_seed_is_a_world_of_its_own_and_always_the_same() -> None:
    one, again, other = (material_of(TINY, seed) for seed in (3, 3, 4))
    assert one.clicks == again.clicks
    assert one.held_out == again.held_out
    assert {each.query for each in one.held_out}.isdisjoint(each.query for each in other.held_out)
    more = material_of(replace(TINY, past_users=2 * TINY.past_users), 3)
    assert len(more.clicks) > 1.5 * len(one.clicks)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("--tables", "a,x"), 'tables: "x" must be of a,b,c,d,e', id="tables"),
        pytest.param(("--size", "huge"), 'size: "huge" must be one of small', id="size"),
    ],
)
def test_a_wrong_flag_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        CliRunner().invoke(
            command(),
            ["reproduce", "--out", str(tmp_path), *arguments],
            catch_exceptions=False,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--out", "{file}/x"), "out: .* cannot be written"),
        (("--collection", "small", "--folds", "1", "--out", "{file}/x"), "cannot be written"),
        (("--collection", "small", "--tables", "a"), "tables: is of synthetic worlds"),
        (("--collection", "small", "--seeds", "3"), "seeds: is of synthetic worlds"),
        (("--collection", "small", "--size", "small"), "size: is of synthetic worlds"),
        (("--collection", "small", "--jobs", "0"), "jobs: is of synthetic worlds"),
        (("--folds", "1"), "folds: is of a collection, and there is none"),
        (("--teacher", "minilm"), "teacher: is of a collection, and there is none"),
        (("--warm-steps", "9"), "warm_steps: is of a collection, and there is none"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    line = ["reproduce", *(each.format(file=file) for each in arguments)]
    with pytest.raises(InvalidRequest, match=says):
        CliRunner().invoke(command(), line, catch_exceptions=False)
