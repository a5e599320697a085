"""Decoders of several families as teachers: rotary, learnt and no positions at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from tests.rankers.test_saving import by_transformers
from tokenizers import pre_tokenizers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import seeded
from ranklift.rankers.base import RankingList, Text, score_texts
from ranklift.rankers.convert import convert
from ranklift.rankers.saving import save
from ranklift.rankers.training.sft import SftOptions, finetune
from ranklift.v1.errors import InvalidRequest

QUERY = "cbaba ababo"
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
CONFIGS: dict[str, Callable[..., PretrainedConfig]] = {
    "llama": lambda **kw: hf.LlamaConfig(**SIZE, **kw),
    "qwen2": lambda **kw: hf.Qwen2Config(**SIZE, **kw),
    "gemma2": lambda **kw: hf.Gemma2Config(**SIZE, head_dim=16, **kw),
    "gpt_neox": lambda **kw: hf.GPTNeoXConfig(**SIZE, **kw),
    "gpt2": lambda **kw: hf.GPT2Config(
        n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2, **kw
    ),
    "opt": lambda **kw: hf.OPTConfig(
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        init_std=0.2,
        **kw,
    ),
    "bloom": lambda **kw: hf.BloomConfig(
        hidden_size=32, n_layer=2, n_head=2, initializer_range=0.2, **kw
    ),
}
EACH = pytest.mark.parametrize("family", CONFIGS)


def model_of(family: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    config = CONFIGS[family](
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config.num_labels = 1
    with seeded(4):
        model: PreTrainedModel = hf.AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
            config
        )
        torch.nn.init.normal_(model.get_parameter("score.weight"), 0, 0.5)
    return model


def version(family: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    if family == "qwen2":  # which insists on a tokenizer of its own kind
        tokenizer = bytes_of_qwen()
    with new_artefact(folder, Manifest("decoder", "fp32", 60, Lineage("sft"))) as filled:
        save(model_of(family, tokenizer), tokenizer, filled, max_tokens=60)
    return folder


def bytes_of_qwen() -> PreTrainedTokenizerBase:
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
    made: Any = hf.Qwen2Tokenizer(vocab={piece: i for i, piece in enumerate(alphabet)}, merges=[])
    tokenizer: PreTrainedTokenizerBase = made
    return tokenizer


@EACH
def test_a_teachers_scores_are_those_of_its_own_library(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, documents: list[Text], family: str
) -> None:
    folder = version(family, tokenizer, tmp_path / family)
    ranker = load_ranker(folder)
    ours = score_texts(ranker, QUERY, documents).values
    assert ours.std() > 1e-2
    alone = [score_texts(ranker, QUERY, [each]).values[0] for each in documents]
    np.testing.assert_allclose(ours, alone, atol=2e-5)
    np.testing.assert_allclose(by_transformers(folder, QUERY, documents), ours, atol=2e-5)


@EACH
def test_a_teacher_is_fine_tuned(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    judged: list[RankingList],
    family: str,
) -> None:
    start = version(family, tokenizer, tmp_path / "start")
    options = SftOptions(steps=1, batch=2, learning_rate=1e-4, max_tokens=32)
    finetune(start, judged[:2], tmp_path / "teacher", options)
    ranker = load_ranker(tmp_path / "teacher")
    assert score_texts(ranker, judged[0].query, judged[0].documents).values.std() > 0


def test_a_tokenizer_that_reads_otherwise_from_disk_is_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(InvalidRequest, match="is read as a Qwen2Tokenizer and gives other tokens"):
        save(model_of("qwen2", tokenizer), tokenizer, tmp_path)


def test_what_is_told_no_positions_is_refused_in_bf16(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = version("bloom", tokenizer, tmp_path / "bloom")
    with pytest.raises(InvalidRequest, match="cannot be served in bf16: it is told no positions"):
        convert(folder, "bf16", tmp_path / "bf16")
