"""transformers' own forward on one row of pairs without padding, each attending to itself.

For CUDA, in bf16, for students and teachers alike: attention is torch's
kernel for sequences of variable length (FlashAttention-2, arXiv 2307.08691).
On the CPU each sequence attends by itself, which is exact and not quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Pair
from ranklift.rankers.engines.bert_weights import why_unknown
from ranklift.rankers.engines.packed_layout import packed_chunks
from ranklift.rankers.engines.reference import told_positions

ATTENTION = "ranklift_varlen"
CHUNK_TOKENS = {"cpu": 1_024, "cuda": 16_384}


class VarlenEngine:
    """Any decoder with rotary positions, and the encoders that `bert_weights` knows."""

    def __init__(self, model: PreTrainedModel, kind: str, dtype: torch.dtype, numerics: str):
        self.name = "varlen"
        self.numerics = numerics
        AttentionInterface.register(ATTENTION, attend_within)
        model.set_attn_implementation(ATTENTION)
        self._model: Any = model.to(dtype).eval()  # type: ignore[arg-type]
        self._kind = kind

    def scores(self, pairs: Sequence[Pair]) -> Values:
        values = np.empty(len(pairs), np.float64)
        budget = CHUNK_TOKENS[self._model.device.type]
        with torch.inference_mode():
            for chunk in packed_chunks([pair.tokens for pair in pairs], budget):
                scores = self._forward([pairs[i] for i in chunk])
                values[chunk] = scores.double().cpu().numpy()
        return values

    def _forward(self, pairs: Sequence[Pair]) -> Tensor:  # (pairs,)
        model, device = self._model, self._model.device
        lengths = [pair.tokens for pair in pairs]
        offsets = torch.tensor(list(accumulate(lengths, initial=0)), dtype=torch.int32)
        positions = torch.cat([torch.arange(length) for length in lengths])
        starts = torch.tensor([pair.start for pair in pairs]).repeat_interleave(
            torch.tensor(lengths)
        )
        ids = torch.tensor([token for pair in pairs for token in pair.ids])
        inputs: dict[str, Any] = {
            "input_ids": ids[None].to(device),
            "position_ids": positions[None].to(device),
            "cu_seq_lens_q": offsets.to(device),
            "max_length_q": max(lengths),
            "use_cache": False,
        }
        if self._kind == "decoder":
            hidden = model.base_model(**inputs).last_hidden_state[0]
            logits = model.score(hidden[(offsets[1:] - 1).long().to(device)])
        else:
            types = (positions >= starts).long()[None].to(device)
            hidden = model.base_model(**inputs, token_type_ids=types).last_hidden_state[0]
            # Pooler and head read the first token of each of these sequences of one.
            firsts = hidden[offsets[:-1].long().to(device)][:, None]
            pooler = getattr(model.base_model, "pooler", None)
            logits = model.classifier(firsts if pooler is None else pooler(firsts))
        scores: Tensor = logits.squeeze(-1).float()
        return scores


def why_not_varlen(model: PreTrainedModel, kind: str, max_tokens: int) -> str:
    """Return why the engine cannot run `model` on pairs of up to `max_tokens`, or ""."""
    config = model.config
    if kind == "encoder":
        return why_unknown(model)
    if not told_positions(model):
        return "it is told no positions"
    if getattr(config, "attn_logit_softcapping", None):
        return "it caps its attention scores"
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and window < max_tokens:
        return f"it attends to the last {window} tokens only, fewer than max_tokens {max_tokens}"
    return ""


def attend_within(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Return attention of one row (1, heads, tokens, size) as (1, tokens, heads, size).

    `cu_seq_lens_q` (sequences + 1,) says where sequences begin and end.
    """
    sequences = Sequences(cu_seq_lens_q, max_length_q, bool(module.is_causal), scaling)
    attend = _by_kernel if query.is_cuda else _one_by_one
    seen = attend(
        query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1), sequences
    )
    return seen[None], None


@dataclass(frozen=True, slots=True)
class Sequences:
    """Where sequences begin and end, (sequences + 1,), and how each attends to itself."""

    offsets: Tensor
    longest: int
    causal: bool
    scaling: float | None


def _by_kernel(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    seen = varlen_attn(
        query,
        key,
        value,
        sequences.offsets,
        sequences.offsets,
        sequences.longest,
        sequences.longest,
        scale=sequences.scaling,
        window_size=(-1, 0) if sequences.causal else (-1, -1),
        enable_gqa=query.shape[1] != key.shape[1],
        num_splits=1,  # the same bits in whatever company
    )
    assert isinstance(seen, Tensor)  # noqa: S101 - a pair only when asked for
    return seen


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    seen = torch.empty_like(query)
    for begin, end in pairwise(sequences.offsets.tolist()):
        seen[begin:end] = functional.scaled_dot_product_attention(
            query[None, begin:end].transpose(1, 2),
            key[None, begin:end].transpose(1, 2),
            value[None, begin:end].transpose(1, 2),
            is_causal=sequences.causal,
            scale=sequences.scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )[0].transpose(0, 1)
    return seen
