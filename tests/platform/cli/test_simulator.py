"""`ranklift simulator`: a log becomes a world, a bad one becomes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ranklift.cli import command
from ranklift.cli.demo.traffic import who_just_searched
from ranklift.simulator.world_file import load_world
from ranklift.v1.errors import AlreadyExists, InvalidRequest

RUNNER = CliRunner()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Eighty sessions of two pages; the two documents of each query change places."""
    path = tmp_path / "log.txt"
    with path.open("w") as file:
        for n in range(80):
            for query in (7, 8):
                shown = ("[5, 6]", "[6, 5]")[(n + query) % 2]
                clicks = ("[1, 0]", "[0, 1]", "[0, 0]", "[1, 1]")[n % 4]
                file.write(f"{n}\t{query}\t{shown}\t[1, 1]\t{clicks}\n")
    return path


def test_a_log_becomes_a_world_that_is_held_against_it(log: Path, tmp_path: Path) -> None:
    world = tmp_path / "world"
    made = RUNNER.invoke(
        command(), ["simulator", "fit", str(log), "--out", str(world)], catch_exceptions=False
    )
    assert made.exit_code == 0
    assert "fitted" in made.output
    assert "AUC" in made.output
    assert load_world(world).query_ids
    held = RUNNER.invoke(
        command(),
        ["simulator", "realism", str(world), str(log), "--format", "json"],
        catch_exceptions=False,
    )
    assert 0 <= json.loads(held.stdout)["auc"]["value"] <= 1


def test_a_bad_line_leaves_nothing_behind(log: Path, tmp_path: Path) -> None:
    with log.open("a") as file:
        file.write("99\t7\t[5, 6]\t[1, 1]\t[0]\n")
    with pytest.raises(InvalidRequest, match=r"log\.txt:161: has 2 documents and 1 clicks"):
        RUNNER.invoke(
            command(),
            ["simulator", "fit", str(log), "--out", str(tmp_path / "world")],
            catch_exceptions=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_what_is_there_is_not_written_over(log: Path, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists, match="name another place"):
        RUNNER.invoke(
            command(),
            ["simulator", "fit", str(log), "--out", str(tmp_path)],
            catch_exceptions=False,
        )


def test_a_model_that_is_not_known_is_named(log: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match='model: "gut", must be one of'):
        RUNNER.invoke(
            command(),
            ["simulator", "fit", str(log), "--out", str(tmp_path / "w"), "--model", "gut"],
            catch_exceptions=False,
        )


def test_a_replayed_world_of_a_log_has_just_ended(log: Path, tmp_path: Path) -> None:
    RUNNER.invoke(command(), ["simulator", "fit", str(log), "--out", str(tmp_path / "world")])
    world = load_world(tmp_path / "world")
    recent = who_just_searched(world, users=30)
    ended = recent.population.start + recent.population.span
    assert timedelta(0) < datetime.now(UTC) - ended < timedelta(days=2)
    assert recent.population.users == 30
    assert recent.appeals == world.appeals
