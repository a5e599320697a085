"""Training as processes: `kill -9` and the same command again; several of them at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ranklift.cli.composition import registry_of
from ranklift.rankers.backbones import Size, new_decoder
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection, Document, save_beir
from ranklift.store.values import ModelRef

WORDS = ["wing", "flow", "heat", "plate", "shock", "layer"]
STEPS = 300
DEADLINE_S = 120.0


@pytest.fixture
def ground(tmp_path: Path) -> tuple[Path, Path]:
    """Return a small collection, and the folder of an untrained language model."""
    documents = {
        f"d{i}": Document(f"d{i}", WORDS[i % 6], f"{WORDS[i % 5]} {WORDS[(i // 2) % 6]}")
        for i in range(30)
    }
    queries = {f"q{i}": f"{WORDS[i % 6]} {WORDS[(i + 1) % 6]}" for i in range(12)}
    judgments = {query: {f"d{i}": 1, f"d{i + 6}": 0} for i, query in enumerate(queries)}
    save_beir(Collection(documents, queries, judgments), tmp_path / "collection")
    tokenizer = train_tokenizer(WORDS, 100)
    model = new_decoder(Size(1, 16, 2, 32), tokenizer, 32, seed=1)
    (tmp_path / "lm").mkdir()
    save(model, tokenizer, tmp_path / "lm", max_tokens=32)
    return tmp_path / "collection", tmp_path / "lm"


def command(home: Path, ground: tuple[Path, Path]) -> list[str]:
    collection, language_model = ground
    flags = {
        "--start": language_model,
        "--data": collection,
        "--steps": STEPS,
        "--batch": 4,
        "--max-tokens": 32,
        "--home": home,
    }
    given = [str(part) for flag in flags.items() for part in flag]
    return [sys.executable, "-m", "ranklift.cli", "train", "sft", *given]


def digest(home: Path) -> str:
    with registry_of(load_settings(home=home)) as registry:
        return registry.models.get(ModelRef("teacher", "1")).digest


def test_a_killed_run_goes_on_and_registers_the_same_version(
    tmp_path: Path, ground: tuple[Path, Path]
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    subprocess.run(command(unbroken, ground), check=True, capture_output=True)

    killed = subprocess.Popen(command(broken, ground), stdout=subprocess.DEVNULL)
    waited = time.monotonic() + DEADLINE_S
    while not list(broken.glob("training/sft-*/checkpoint-*/losses.json")):
        assert killed.poll() is None
        assert time.monotonic() < waited
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not list((broken / "models").glob("**/ranklift.json"))

    subprocess.run(command(broken, ground), check=True, capture_output=True)
    assert digest(broken) == digest(unbroken)
    assert list((broken / "training").iterdir()) == []


def test_two_processes_of_one_command_register_one_version(
    tmp_path: Path, ground: tuple[Path, Path]
) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [
            sys.executable,
            *(
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node=2",
                "--no-python",
                "--",
            ),
            *command(home, ground),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("teacher@1 is registered") == 1
    with registry_of(load_settings(home=home)) as registry:
        assert registry.models.next_version("teacher") == "2"
    run = json.loads((home / "models" / "teacher" / "1" / "run.json").read_text())
    assert run["environment"]["processes"] == 2
