"""Training with bf16 products: what the loss is taken of is no bf16 number."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.rankers.families import FAMILIES, model_of, tokenizer_of
from torch import Tensor
from transformers import PreTrainedModel

from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.losses import margin_ranking
from ranklift.rankers.training import distil as distilling
from ranklift.rankers.training import sft
from ranklift.rankers.training.batches import ListBatch, collate_lists, encode_lists, list_scores
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, distil
from ranklift.rankers.training.exact_logits import exact_logits
from ranklift.rankers.training.sft import SftOptions, finetune

WINGS = RankingList(
    "how do airfoils stall?",
    tuple(Text(str(i), "airfoil", text) for i, text in enumerate(["lift", "a wing", "x1 é", "w"])),
    (3.0, 2.0, 1.0, 0.0),
)


def is_bf16(scores: Tensor) -> bool:
    return torch.equal(scores, scores.bfloat16().float())


@pytest.fixture(params=[*FAMILIES, "decoder", "genfr"])
def scorer(
    request: pytest.FixtureRequest, artefacts: dict[str, Path]
) -> tuple[PreTrainedModel, str, ListBatch]:
    """A model of each family, and a batch of one list."""
    if request.param in FAMILIES:
        tokenizer = tokenizer_of(request.param)
        model, kind = model_of(request.param, tokenizer), "encoder"
    else:
        folder = artefacts["causal_lm"]
        tokenizer, kind = load_tokenizer(folder), "decoder"
        model = load_scorer(folder, head_seed=3, labels=5 if request.param == "genfr" else 1)
    lists = encode_lists(PairEncoder(tokenizer, kind, 32), [WINGS])
    return model, kind, collate_lists(lists)


def scores_and_gradient(
    scorer: tuple[PreTrainedModel, str, ListBatch], *, bf16: bool, exact: bool
) -> tuple[Tensor, list[Tensor]]:
    model, kind, batch = scorer
    model.zero_grad()
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        exact_logits(model) if exact else nullcontext(),
    ):
        scores = list_scores(model, kind, batch)
        loss = margin_ranking(scores, batch.targets, batch.mask, tau=20.0)
    loss.backward()  # type: ignore[no-untyped-call]
    return scores.detach(), [w.grad.clone() for w in model.parameters() if w.grad is not None]


def test_scores_under_autocast_are_no_bf16_numbers(
    scorer: tuple[PreTrainedModel, str, ListBatch],
) -> None:
    exact, gradient = scores_and_gradient(scorer, bf16=True, exact=True)
    assert exact.dtype == torch.float32
    assert not is_bf16(exact)
    assert all(each.isfinite().all() for each in gradient)
    assert sum(float(each.abs().sum()) for each in gradient) > 0
    assert {each.dtype for each in gradient} == {torch.float32}
    rounded, _ = scores_and_gradient(scorer, bf16=True, exact=False)
    # The expected label of rounded logits is no bf16 number any more.
    assert is_bf16(rounded) is (scorer[0].config.num_labels == 1)
    assert not torch.equal(rounded, exact)
    whole, _ = scores_and_gradient(scorer, bf16=False, exact=False)
    torch.testing.assert_close(exact, whole, atol=0.3, rtol=0.05)


def test_in_fp32_not_a_bit_changes_and_nothing_is_left_behind(
    scorer: tuple[PreTrainedModel, str, ListBatch],
) -> None:
    before, gradient = scores_and_gradient(scorer, bf16=False, exact=False)
    within, same = scores_and_gradient(scorer, bf16=False, exact=True)
    assert torch.equal(within, before)
    assert all(torch.equal(a, b) for a, b in zip(same, gradient, strict=True))
    assert not any("forward" in vars(module) for module in scorer[0].modules())


@pytest.mark.parametrize(("stage", "rank"), [("distil", 0), ("sft", 0), ("sft", 2)])
def test_the_stages_take_their_losses_of_exact_scores(
    tmp_path: Path,
    artefacts: dict[str, Path],
    judged: list[RankingList],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    rank: int,
) -> None:
    if rank:
        pytest.importorskip("peft")
    seen: list[Tensor] = []

    def kept(scored: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def scores(*arguments: Any) -> Tensor:
            seen.append(found := scored(*arguments))
            return found

        return scores

    if stage == "distil":
        monkeypatch.setattr(distilling, "list_scores", kept(list_scores))
        options = DistilOptions(steps=3, batch=4, max_tokens=32, bf16=True)
        distil(FromArtefact(artefacts["encoder"]), judged[:9], tmp_path / "student", options)
    else:
        monkeypatch.setattr(sft, "list_scores", kept(list_scores))
        teaching = SftOptions(steps=3, batch=4, max_tokens=32, bf16=True, lora_rank=rank)
        finetune(artefacts["causal_lm"], judged[:9], tmp_path / "teacher", teaching)
    assert len(seen) == 3
    assert not any(is_bf16(each) for each in seen)
