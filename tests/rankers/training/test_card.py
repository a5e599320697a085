"""What a version says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from ranklift.rankers.artefacts import digest_of, lists_digest, read_manifest
from ranklift.rankers.base import RankingList
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil

OPTIONS = DistilOptions(steps=3, batch=4, max_tokens=32, loss="listnet", seed=6)


@pytest.fixture
def student(tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]) -> Path:
    folder = tmp_path / "student"
    distil(FromArtefact(artefacts["encoder"]), judged[:9], folder, OPTIONS, teacher="sha256:t")
    return folder


def test_the_run_manifest_says_what_the_same_weights_need(
    student: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    run = json.loads((student / "run.json").read_text())
    assert run["stage"] == "distil"
    assert run["parents"] == ["sha256:t", digest_of(artefacts["encoder"])]
    assert run["data"] == {"digest": lists_digest(judged[:9]), "examples": 9, "pairs": 54}
    assert {name: run["settings"][name] for name in ("steps", "loss", "seed", "start")} == {
        "steps": 3,
        "loss": "listnet",
        "seed": 6,
        "start": "whole",
    }
    assert run["result"]["steps"] == 3
    assert run["result"]["loss"] > 0
    assert run["environment"]["torch"] == torch.__version__
    assert run["environment"]["threads"] == torch.get_num_threads()


def test_nothing_of_a_version_tells_where_or_when_it_was_made(
    student: Path, tmp_path: Path
) -> None:
    texts = [path.read_text() for path in student.iterdir() if path.suffix in (".json", ".md")]
    assert len(texts) >= 5
    assert not [text for text in texts if str(tmp_path) in text or str(Path.home()) in text]


def test_the_model_card_is_one(student: Path) -> None:
    _, header, text = (student / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(header)
    assert facts["library_name"] == "transformers"
    assert facts["pipeline_tag"] == "text-ranking"
    assert facts["tags"] == ["ranklift", "encoder"]
    assert "| loss | listnet |" in text
    assert "54 pairs" in text
    assert f"at most {read_manifest(student).max_tokens} tokens" in text
