"""One file for all training stages: what it may say, and what wins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from ranklift.cli.train.file import TrainingFile, defaults_of
from ranklift.v1.errors import InvalidRequest, NotFound

FLAGS = {
    "cpt": frozenset({"data", "steps", "seed", "learning_rate"}),
    "distil": frozenset({"teacher", "data", "steps", "seed", "alpha"}),
}

TOML = """
data = "collection"
seed = 3

[cpt]
steps = 20

[distil]
teacher = ["teacher@1", "bm25@1=0.5"]
seed = 4
alpha = 0.25
"""
YAML = """
data: collection
seed: 3
cpt: {steps: 20}
distil:
  teacher: [teacher@1, bm25@1=0.5]
  seed: 4
  alpha: 0.25
"""


@pytest.mark.parametrize(("name", "text"), [("run.toml", TOML), ("run.yaml", YAML)])
def test_a_stage_gets_its_own_table_and_what_all_share(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert defaults_of(tmp_path / name, "cpt", FLAGS) == {
        "data": "collection",
        "seed": 3,
        "steps": 20,
    }
    assert defaults_of(tmp_path / name, "distil", FLAGS) == {
        "data": "collection",
        "teacher": ["teacher@1", "bm25@1=0.5"],
        "seed": 4,
        "alpha": 0.25,
    }


def test_a_name_that_is_no_flag_is_named_whatever_stage_runs(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('datta = "x"\n[cpt]\nalpha = 1\n[destil]\nsteps = 2\n')
    with pytest.raises(InvalidRequest) as refused:
        defaults_of(file, "distil", FLAGS)
    assert [violation.field.rpartition(": ")[2] for violation in refused.value.violations] == [
        "datta",
        "cpt.alpha",
        "destil",
    ]
    assert "it has data, learning_rate, seed, steps" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("run.toml", "steps = ", "is not TOML"),
        ("run.yaml", "steps: [", "is not YAML"),
        ("run.yaml", "- steps", "holds no table"),
        ("run.json", "{}", r"must end in \.toml, \.yaml, \.yml"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRequest, match=says):
        defaults_of(tmp_path / name, "cpt", FLAGS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        defaults_of(tmp_path / "none.toml", "cpt", FLAGS)


SAID: dict[str, Any] = {}


def stages() -> typer.Typer:
    """Return two commands of which one takes a file."""
    app = typer.Typer()

    @app.command()
    def distil(
        teacher: Annotated[list[str] | None, typer.Option()] = None,
        name: Annotated[str, typer.Option()] = "student",
        steps: Annotated[int, typer.Option(min=1)] = 600,
        bf16: Annotated[bool, typer.Option()] = False,
        file: TrainingFile = None,
    ) -> None:
        SAID.update(teacher=teacher, name=name, steps=steps, bf16=bf16)

    @app.command()
    def other() -> None:
        """Make a group of it."""

    return app


@pytest.mark.parametrize("teacher", ['"teacher@1"', '["teacher@1"]'])
def test_a_lone_value_is_a_list_of_one(tmp_path: Path, teacher: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f"steps = 7\n[distil]\nbf16 = true\nteacher = {teacher}\n")
    line = ["distil", "--file", str(file), "--name", "small"]
    done = CliRunner().invoke(stages(), line, catch_exceptions=False)
    assert done.exit_code == 0
    assert SAID == {"teacher": ["teacher@1"], "name": "small", "steps": 7, "bf16": True}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps = [1, 2]", "steps: takes one value, not a list"),
        ('steps = "many"', "steps: .*integer"),
        ("steps = 2.5", "steps: .*integer"),
        ("steps = true", "steps: is neither on nor off"),
        ("steps = 0", "steps: .*1"),
        ('[distil]\nbf16 = "perhaps"', "bf16: .*boolean"),
        ('[distil]\nname = ["a"]', "name: takes one value"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_its_file(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=rf"run\.toml: {says}"):
        CliRunner().invoke(stages(), ["distil", "--file", str(file)], catch_exceptions=False)


def test_a_key_without_a_value_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed:\ncpt: {steps: 20}\n")
    assert defaults_of(file, "cpt", FLAGS) == {"steps": 20}
