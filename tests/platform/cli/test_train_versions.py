"""What training stages leave in the registry when they are interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest
import torch

from ranklift.cli import main
from ranklift.cli.composition import registry_of
from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.backbones import Size, new_decoder, new_encoder
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.store.values import ModelRef, ModelVersion

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord")
SIZE = Size(layers=1, width=16, heads=2, feed_forward=32)
FEW = ("--steps", "2", "--batch", "4", "--max-tokens", "16")
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every query's first word is what the one relevant document says."""
    documents = {f"d{i}": Document(f"d{i}", "", word) for i, word in enumerate(WORDS)}
    queries = {f"q{a}{b}": f"{a} or {b}" for a in WORDS for b in WORDS if a != b}
    judgments = {
        query_id: {f"d{i}": int(text.startswith(word)) for i, word in enumerate(WORDS)}
        for query_id, text in queries.items()
    }
    folder = tmp_path_factory.mktemp("collection")
    save_beir(Collection(documents, queries, judgments), folder)
    return str(folder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer([*WORDS, "or"], 100)
    save(new_encoder(SIZE, tokenizer, 32, seed=1), tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = train_tokenizer([*WORDS, "or"], 100)
    save(new_decoder(SIZE, tokenizer, 32, seed=1), tokenizer, folder, max_tokens=16)
    return str(folder)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift train ARGUMENTS` on a home of the test's own; return the exit code."""
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", "train", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call


def versions(tmp_path: Path, model: str) -> list[ModelVersion]:
    with registry_of(load_settings(home=tmp_path / "home")) as registry:
        return registry.models.list(model)[0]


def interrupted(*_: object, **__: object) -> Never:
    raise KeyboardInterrupt


def test_a_version_that_was_being_judged_is_there_and_the_next_one_has_its_figures(
    run: Run,
    collection: str,
    encoder: str,
    decoder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = ("--data", collection, "--fold", "1/3", *FEW)
    for stage, model, begin in (
        ("sft", "teacher", ("--start", decoder)),
        ("distil", "student", ("--teacher", "teacher@1", "--start", encoder)),
    ):
        with monkeypatch.context() as planted:
            planted.setattr("ranklift.cli.train.judging.evaluate", interrupted)
            assert run(stage, *begin, *data) == 130
        assert run(stage, *begin, *data) == 0
        first, second = versions(tmp_path, model)
        assert (first.ref.version, second.ref.version) == ("1", "2")
        assert first.digest == second.digest == digest_of(Path(first.uri))
        assert not first.lineage.metrics
        assert 0 <= second.lineage.metrics["pair_accuracy"] <= 1


def test_a_folder_that_nobody_registered_is_in_nobodys_way(
    run: Run, collection: str, encoder: str, tmp_path: Path
) -> None:
    lost = tmp_path / "home" / "models" / "bm25" / "1"
    lost.mkdir(parents=True)
    (lost / "part").write_text("of a killed run")
    for expected in ("2", "3"):
        assert run("bm25", "--collection", collection) == 0
        assert versions(tmp_path, "bm25")[-1].ref == ModelRef("bm25", expected)
    assert (lost / "part").is_file()
