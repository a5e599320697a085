"""The last layer for the first token alone: the same scores, the same gradients, less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.rankers.families import FAMILIES, model_of, tokenizer_of

from ranklift.rankers.base import Text
from ranklift.rankers.encoding import Batch, PairEncoder, pad
from ranklift.rankers.engines.reference import pair_scores
from ranklift.rankers.training.first_token import ATTENTIONS, first_token_only
from ranklift.rankers.training.first_token import FAMILIES as KNOWN

DOCUMENTS = (
    Text("a", "lift", "wing"),
    Text("b", "", "a wing stalls and the flow parts"),
    Text("c", "stall", ""),
)


def model_and_batch(family: str, attention: str = "sdpa") -> tuple[Any, Batch]:
    tokenizer = tokenizer_of(family)
    model: Any = model_of(family, tokenizer)
    if attention:
        model.set_attn_implementation(attention)
    pairs = PairEncoder(tokenizer, "encoder", 62).encode("how do airfoils stall?", DOCUMENTS).pairs
    assert len({pair.tokens for pair in pairs}) > 1  # padding is masked
    return model.double().eval(), pad(pairs)


def scores_and_gradients(model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    scores = pair_scores(model, "encoder", batch)
    loss: Any = (scores * torch.tensor([1.0, -2.0, 0.5])).sum()
    loss.backward()
    gradients = {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }
    return scores.detach(), gradients


# Others are left as they are, whatever their attention is.
ASKED = [
    (family, attention)
    for family in sorted(KNOWN & set(FAMILIES))
    for attention in sorted(ATTENTIONS)
]
ASKED += [(family, "") for family in FAMILIES if family not in KNOWN]


@pytest.mark.parametrize(("family", "attention"), ASKED)
def test_scores_and_gradients_are_those_of_the_whole_layer(family: str, attention: str) -> None:
    model, batch = model_and_batch(family, attention)
    whole, whole_gradients = scores_and_gradients(model, batch)
    with first_token_only(model):
        short, short_gradients = scores_and_gradients(model, batch)
    assert len(set(whole.tolist())) == len(DOCUMENTS)
    torch.testing.assert_close(short, whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(short_gradients, whole_gradients, rtol=1e-6, atol=1e-6)
    after, _ = scores_and_gradients(model, batch)
    assert torch.equal(after, whole)


@pytest.mark.parametrize("family", sorted(KNOWN & set(FAMILIES)))
def test_of_a_known_family_one_row_of_each_pair_leaves_the_last_layer(family: str) -> None:
    model, batch = model_and_batch(family)
    rows: list[int] = []
    feed_forward = model.base_model.encoder.layer[-1].intermediate
    feed_forward.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[1]))
    with first_token_only(model):
        pair_scores(model, "encoder", batch)
    pair_scores(model, "encoder", batch)
    assert rows == [1, batch.input_ids.shape[1]]


def test_dropout_of_the_last_layer_is_kept() -> None:
    model, batch = model_and_batch("bert")
    for module in model.base_model.encoder.layer[-1].modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    torch.manual_seed(0)
    with first_token_only(model):
        once, again = (pair_scores(model, "encoder", batch) for _ in range(2))
    assert not torch.allclose(once, again)
