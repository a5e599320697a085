"""One file for all training stages: what it may say, and what wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranklift.cli.train.file import defaults_of
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
