"""Low-rank adapters: few weights learn, and the model is plain again afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.rankers.families import FAMILIES, model_of, tokenizer_of

from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.training.adapters import adapters
from ranklift.rankers.training.batches import collate_lists, encode_lists, list_scores
from ranklift.rankers.training.sft import SftOptions, finetune

pytest.importorskip("peft")


def test_weights_change_by_a_matrix_of_low_rank_and_the_rest_stays(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    options = SftOptions(steps=5, batch=4, max_tokens=32, lora_rank=2, seed=3)
    finetune(artefacts["causal_lm"], judged, tmp_path / "teacher", options)
    before = load_scorer(artefacts["causal_lm"], head_seed=3).state_dict()
    after = load_scorer(tmp_path / "teacher").state_dict()
    assert before.keys() == after.keys()
    for name, weight in after.items():
        change = weight - before[name]
        if name == "score.weight":
            assert change.abs().max() > 0
        elif "proj" in name:
            values = torch.linalg.svdvals(change.double())
            assert values[1] > 0
            assert values[2] < 1e-6 * values[0] + 1e-9
        else:
            assert torch.equal(weight, before[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_head_learns_whole_and_layers_of_the_body_by_adapters_alone(family: str) -> None:
    model: Any = model_of(family, tokenizer_of(family))
    body, pooler = f"{model.base_model_prefix}.", f"{model.base_model_prefix}.pooler."
    with adapters(model, 2, seed=1, head=True):
        learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
        rest = {name for name, _ in model.named_parameters()} - learning
        assert {n for n in learning | rest if not n.startswith(body)} <= learning
        assert {n for n in learning | rest if n.startswith(pooler)} <= learning
        adapted = {n for n in learning if n.startswith(body) and not n.startswith(pooler)}
        assert adapted
        assert all(".lora_" in n for n in adapted)
    with adapters(model, 2, seed=1, head=False):
        learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert all(".lora_" in n and n.startswith(body) for n in learning)


def test_the_merged_model_scores_as_the_adapted_one(
    artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    folder = artefacts["decoder"]
    model = load_scorer(folder)
    encoder = PairEncoder(load_tokenizer(folder), "decoder", 32)
    batch = collate_lists(encode_lists(encoder, judged[:3]))
    with torch.no_grad():
        untouched = list_scores(model, "decoder", batch)
        with adapters(model, 4, seed=1, head=True):
            generator = torch.Generator().manual_seed(0)
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
            adapted = list_scores(model, "decoder", batch)
        merged = list_scores(model, "decoder", batch)
    assert (adapted - untouched).abs().max() > 1e-3
    torch.testing.assert_close(merged, adapted)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert all(weight.requires_grad for weight in model.parameters())
