"""How steps are computed changes no result: in parts, by several processes, by length."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ranklift.rankers.artefacts import load_ranker, read_manifest
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import RankingList, score_texts
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder, pad
from ranklift.rankers.engines.reference import pair_scores
from ranklift.rankers.training import batches
from ranklift.rankers.training.batches import collate_lists, encode_lists, list_scores
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil
from ranklift.v1.errors import InvalidRequest

OPTIONS = DistilOptions(steps=4, batch=4, max_tokens=32, learning_rate=1e-3)

SCRIPT = """
import pickle, sys
import torch
from pathlib import Path
from ranklift.rankers.training.{module} import {names}

torch.set_num_threads(1)
start, lists, folder, options, more = pickle.loads(Path(sys.argv[1]).read_bytes())
{call}(start, lists, folder, options, **more)
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that matter: what is added to all keys alike changes no attention, so
    the gradient of these is rounding, and Adam makes a step of it as long as any other."""
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return {name: weight for name, weight in found.items() if not name.endswith("key.bias")}


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("budget", [1, 100, 100_000])
def test_scores_of_a_batch_do_not_depend_on_what_is_computed_together(
    artefacts: dict[str, Path],
    judged: list[RankingList],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    budget: int,
) -> None:
    monkeypatch.setattr(batches, "CHUNK_TOKENS", budget)
    model = load_scorer(artefacts[kind])
    encoder = PairEncoder(load_tokenizer(artefacts[kind]), kind, 32)
    short = dataclasses.replace(
        judged[1], documents=judged[1].documents[:2], targets=judged[1].targets[:2]
    )
    batch = collate_lists(encode_lists(encoder, [judged[0], short, judged[2]]))
    with torch.inference_mode():
        found = list_scores(model, kind, batch)
        alone = [pair_scores(model, kind, pad([pair])).item() for pair in batch.pairs]
    assert found[batch.mask].tolist() == pytest.approx(alone, abs=1e-5)
    assert found[1, 2:].tolist() == [0.0] * 4


def test_a_batch_in_parts_takes_the_same_step(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    for name, parts in (("whole", 1), ("halves", 2), ("quarters", 4)):
        options = dataclasses.replace(OPTIONS, accumulation=parts)
        distil(FromArtefact(artefacts["encoder"]), judged[:40], tmp_path / name, options)
    whole = weights(tmp_path / "whole")
    start = weights(artefacts["encoder"])
    assert max(float((whole[name] - start[name]).abs().max()) for name in whole) > 1e-3
    for name in ("halves", "quarters"):
        torch.testing.assert_close(weights(tmp_path / name), whole, atol=1e-5, rtol=1e-4)
    thirds = dataclasses.replace(OPTIONS, accumulation=3)
    with pytest.raises(InvalidRequest, match="batch: 4 must be a multiple of 3"):
        distil(FromArtefact(artefacts["encoder"]), judged[:40], tmp_path / "thirds", thirds)


def torchrun(tmp_path: Path, module: str, call: str, arguments: object) -> None:
    """Run a stage in two processes, joined by gloo on the loopback."""
    import pickle

    (tmp_path / "arguments.pickle").write_bytes(pickle.dumps(arguments))
    script = tmp_path / "stage.py"
    script.write_text(SCRIPT.format(module=module, names=call, call=call))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            str(script),
            str(tmp_path / "arguments.pickle"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3_000:]


def test_two_processes_take_the_same_steps_as_one(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    start = FromArtefact(artefacts["encoder"])
    distil(start, judged[:40], tmp_path / "one", OPTIONS)
    torchrun(tmp_path, "distil", "distil", (start, judged[:40], tmp_path / "two", OPTIONS, {}))
    torch.testing.assert_close(
        weights(tmp_path / "two"), weights(tmp_path / "one"), atol=1e-5, rtol=1e-4
    )


def test_products_in_bf16_keep_weights_and_scores_in_fp32(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    start = FromArtefact(artefacts["encoder"])
    for name, bf16 in (("fp32", False), ("bf16", True)):
        options = dataclasses.replace(OPTIONS, bf16=bf16)
        distil(start, judged[:40], tmp_path / name, options)
    exact, rounded = (weights(tmp_path / name) for name in ("fp32", "bf16"))
    assert {weight.dtype for weight in rounded.values()} == {torch.float32}
    assert any(not torch.equal(exact[name], rounded[name]) for name in exact)
    torch.testing.assert_close(rounded, exact, atol=0.01, rtol=0.1)
    assert read_manifest(tmp_path / "bf16").numerics == "fp32"
    one = judged[50]
    scores = [
        score_texts(load_ranker(tmp_path / name), one.query, one.documents).values
        for name in ("fp32", "bf16")
    ]
    assert scores[1].tolist() == pytest.approx(scores[0].tolist(), abs=0.1)
