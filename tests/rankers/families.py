"""A small model and its own tokenizer of every family of encoders that students grow from."""

from __future__ import annotations

import string
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.backbones import seeded

LAYERS = 3
POSITIONS = 64
LETTERS = string.ascii_lowercase + string.digits + "'?.,"
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    # Large weights: fresh ones score everything alike.
    "initializer_range": 0.3,
}


def tokenizer_of(family: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer class of a family with a vocabulary of letters."""
    made: PreTrainedTokenizerBase = {
        "bert": lambda: hf.BertTokenizer(vocab=_word_pieces("[PAD]", "[UNK]", "[CLS]", "[SEP]")),
        # ELECTRA's is BERT's.
        "electra": lambda: tokenizer_of("bert"),
        "distilbert": lambda: hf.DistilBertTokenizer(
            vocab=_word_pieces("[PAD]", "[UNK]", "[CLS]", "[SEP]")
        ),
        "mpnet": lambda: hf.MPNetTokenizer(vocab=_word_pieces("<s>", "<pad>", "</s>", "[UNK]")),
        "roberta": lambda: hf.RobertaTokenizer(
            vocab=_byte_pieces("<s>", "<pad>", "</s>", "<unk>", "<mask>"), merges=[]
        ),
        "xlm-roberta": lambda: hf.XLMRobertaTokenizer(
            vocab=_unigrams("<s>", "<pad>", "</s>", "<unk>")
        ),
        "deberta-v2": lambda: hf.DebertaV2Tokenizer(
            vocab=_unigrams("[PAD]", "[CLS]", "[SEP]", "[UNK]")
        ),
        "modernbert": _modernbert_tokenizer,
    }[family]()
    return made


def model_of(family: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a model with random weights and a scalar head."""
    size = {**SIZES, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config = {  # type: ignore[no-untyped-call]
        "bert": lambda: hf.BertConfig(**size),
        "electra": lambda: hf.ElectraConfig(**size, embedding_size=16),
        "distilbert": lambda: hf.DistilBertConfig(
            vocab_size=len(tokenizer),
            dim=32,
            n_layers=LAYERS,
            n_heads=2,
            hidden_dim=48,
            max_position_embeddings=POSITIONS,
            initializer_range=0.3,
        ),
        "mpnet": lambda: hf.MPNetConfig(**size),
        "roberta": lambda: hf.RobertaConfig(**size, type_vocab_size=1),
        "xlm-roberta": lambda: hf.XLMRobertaConfig(**size, type_vocab_size=1),
        "deberta-v2": lambda: hf.DebertaV2Config(
            **size, type_vocab_size=0, relative_attention=True, pos_att_type=["p2c", "c2p"]
        ),
        "modernbert": lambda: hf.ModernBertConfig(
            **size,
            cls_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
            layer_types=["full_attention", "sliding_attention", "full_attention"],
            local_attention=8,
        ),
    }[family]()
    config.num_labels = 1
    with seeded(11):
        model: PreTrainedModel = hf.AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
            config
        )
        # Some families begin some of these at 0 or at 1.
        for weight in model.parameters():
            if weight.dim() == 1:
                torch.nn.init.normal_(weight, 0.5, 0.3)
    model.eval()  # type: ignore[no-untyped-call]
    return model


FAMILIES = (
    "bert",
    "electra",
    "distilbert",
    "deberta-v2",
    "modernbert",
    "roberta",
    "xlm-roberta",
    "mpnet",
)


def _word_pieces(*special: str) -> dict[str, int]:
    words = ["airfoil", "lift", "stall", "##s", "wing", "<mask>", "[MASK]"]
    pieces = [*special, *words, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def _byte_pieces(*special: str) -> dict[str, int]:
    return {piece: i for i, piece in enumerate([*special, *BYTES])}


def _unigrams(*special: str) -> list[tuple[str, float]]:
    words = ["▁airfoil", "▁lift", "▁stall", "▁wing", "▁"]
    pieces = [*special, *words, *LETTERS, "<mask>", "[MASK]"]
    return [(piece, -float(i)) for i, piece in enumerate(pieces)]


def _modernbert_tokenizer() -> PreTrainedTokenizerBase:
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    core = Tokenizer(models.BPE(vocab=dict(_byte_pieces(*special)), merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return hf.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    )
