"""From served traffic to a student, one command after the other, as a user would type them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.installation import Installation

from ranklift.cli import main
from ranklift.cli.collections import Ground
from ranklift.cli.composition import registry_of
from ranklift.settings import load_settings
from ranklift.simulator.candidates import save_run
from ranklift.simulator.collections import save_beir
from ranklift.store.values import ModelRef

Run = Callable[..., int]


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift ARGUMENTS` on the running installation's home; return the exit code."""
    monkeypatch.setenv("RANKLIFT_HOME", str(installation.home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call


@pytest.fixture
def collection(ground: Ground, tmp_path: Path) -> str:
    folder = tmp_path / "collection"
    save_beir(ground.collection, folder)
    save_run(ground.candidates, folder)
    return str(folder)


def test_traffic_teaches_a_teacher_and_the_teacher_a_student(
    run: Run,
    installation: Installation,
    collection: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    of = ("--collection", collection)
    served = ("--server", installation.gateway, "--users", "60")
    assert run("simulate", "replay", *of, *served) == 0
    assert "0 failed calls" in capsys.readouterr().out

    assert run("train", "cpt", "--name", "lm", "--steps", "4") == 0
    assert run("train", "sft", "--start", "lm@1", *of, "--steps", "4") == 0
    learn = ("train", "distil", "--teacher", "teacher@1", *of, "--steps", "4", "--name", "small")
    assert run(*learn) == 0
    assert "0 found in the cache" in capsys.readouterr().out
    assert run(*learn) == 0
    assert "0 teacher scores computed" in capsys.readouterr().out

    with registry_of(load_settings(home=installation.home)) as registry:
        made = registry.models.get(ModelRef("small", "2"))
    assert made.kind == "encoder"
    assert made.lineage.parents == ("teacher@1",)
    assert run("train", "convert", "small@2", "--numerics", "bf16", *of) == 0
    assert "small@3 against small@2, " in capsys.readouterr().out
    with registry_of(load_settings(home=installation.home)) as registry:
        converted = registry.models.get(ModelRef("small", "3"))
    assert (converted.numerics, converted.lineage.stage) == ("bf16", "convert")
    assert converted.lineage.parents == ("small@2",)
    assert converted.digest != made.digest
    assert 0 < converted.lineage.metrics["max_error"] < 0.1

    versions = ("bm25@1", "teacher@1", "small@1", "small@2")
    assert run("evaluate", *versions, *of, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["systems"]] == list(versions)
    assert found["systems"][2]["digest"] == made.digest
    # The same steps on the same scores with the same seed: the same student.
    assert found["systems"][2]["figures"] == found["systems"][3]["figures"]
    assert {one["system"] for one in found["comparisons"]} == set(versions[1:])

    stages = ("--first", "bm25@1", "--second", "small@1")
    assert run("train", "cascade", *stages, "--top-k", "3", "--budget-ms", "40") == 0
    assert "cascade@1 is registered: cascade" in capsys.readouterr().out
    with registry_of(load_settings(home=installation.home)) as registry:
        cascade = registry.models.get(ModelRef("cascade", "1"))
    assert cascade.lineage.parents == ("bm25@1", "small@1")
    # It holds its stages: that one of them is gone takes nothing from it.
    shutil.rmtree(Path(made.uri).parent / "1")
    assert run("evaluate", "bm25@1", "cascade@1", *of) == 0
    assert "Differences to bm25@1 on the same queries" in capsys.readouterr().out
    assert run("train", "cascade", "--first", "cascade@1", "--second", "nonsense") == 2
    assert "second:" in capsys.readouterr().err


def test_a_log_without_clicks_teaches_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "cpt", "--name", "lm") == 2
    assert "holds no clicks; serve some traffic" in capsys.readouterr().err
    with registry_of(load_settings()) as registry:
        assert registry.models.next_version("lm") == "1"
