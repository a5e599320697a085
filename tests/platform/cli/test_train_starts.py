"""What a student cannot begin as, and what breaks down on the way: one line each."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ranklift import cli
from ranklift.rankers.artefacts import Lineage, Manifest, new_artefact
from ranklift.rankers.backbones import Size, new_decoder, new_encoder
from ranklift.rankers.base import finite
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer

WORDS = ("amber", "birch", "cedar", "delta", "ember")
SIZE = Size(layers=2, width=32, heads=2, feed_forward=64)
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder and a decoder as pretrained ones are stored, and a language model of ours."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer(WORDS, 100)
    decoder = new_decoder(SIZE, tokenizer, 32, seed=1)
    for name, model in (
        ("encoder", new_encoder(SIZE, tokenizer, 32, seed=1)),
        ("decoder", decoder),
    ):
        (folder / name).mkdir()
        save(model, tokenizer, folder / name)
    with new_artefact(folder / "lm", Manifest("causal_lm", "fp32", 32, Lineage("cpt"))) as made:
        decoder.save_pretrained(made)
        tokenizer.save_pretrained(made)
    return folder


@pytest.fixture
def targets(tmp_path: Path) -> str:
    rows = [
        {
            "query": f"{word} or else",
            "documents": [
                {"id": f"d{i}", "text": other, "target": float(i)} for i, other in enumerate(WORDS)
            ],
        }
        for word in WORDS
    ]
    file = tmp_path / "scored.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


@pytest.fixture
def run(train: Run) -> Run:
    """Run `ranklift train distil ARGUMENTS`."""
    return partial(train, "distil")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--start", "{models}/lm", "--layers", "1"), 'is of kind "causal_lm", a student starts'),
        (("--start", "{models}/lm"), 'is of kind "causal_lm", a student starts from an encoder'),
        (("--start", "{models}/decoder", "--layers", "1"), "is a decoder, a student starts from"),
        (("--start", "{models}/encoder", "--layers", "3"), "layers: 3, must be 1 to 2"),
        (
            ("--start", "{models}/encoder", "--layers", "3", "--first-layers"),
            "layers: 3, must be 1 to 2",
        ),
        (("--start", "{models}/encoder", "--first-layers"), "first_layers: of how many is not"),
        (("--layers", "5"), "layers: 5 of what: scratch has none to keep; give --start minilm"),
    ],
)
def test_what_no_student_begins_as_is_one_line(
    run: Run,
    models: Path,
    targets: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    given = [each.format(models=models) for each in arguments]
    assert run("--targets", targets, *given) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1
    assert says in error[0]
    assert not list((tmp_path / "home").glob("models/*/*"))


def test_a_training_that_breaks_down_is_one_line(
    run: Run, models: Path, targets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = ("--start", f"{models}/encoder", "--batch", "5", "--max-tokens", "16", "--steps", "20")
    assert run("--targets", targets, *learn, "--learning-rate", "1e30") == 1
    error = capsys.readouterr().err
    assert "error: the loss is " in error
    assert "lower the learning rate of 1e+30" in error
    assert "Traceback" not in error


def test_scores_that_are_not_finite_are_one_line_and_other_arithmetic_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        finite(np.array([1.0, np.nan]))

    def divided() -> None:
        operator.truediv(1, 0)

    monkeypatch.setattr(cli, "audited", lambda _: broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "error: the scores of 1 of 2 documents are not finite" in capsys.readouterr().err
    monkeypatch.setattr(cli, "audited", lambda _: divided)
    with pytest.raises(ZeroDivisionError):
        cli.main()
