"""A model and its tokenizer on disk, so that they score the same wherever they are loaded.

What other libraries would otherwise do by their own defaults is written down:

    tokenizer    how pairs are built, token types or none, the longest input, padding on the right
    decoder      a padding token that is not the closing one, which transformers looks for
    one label    no activation: sentence-transformers' `CrossEncoder` gives logits, not a sigmoid

The same scores then come from `AutoModelForSequenceClassification` on what
`tokenizer(query, body, truncation=True)` gives, and from `CrossEncoder.predict`.
They differ in one case: a query longer than half the room. Rankers cut it to
that half for all documents; the others cut it to what the document leaves.
"""

from __future__ import annotations

import copy
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.backbones import quiet
from ranklift.rankers.templates import build_pairs, own_template, template_of

NO_ACTIVATION = "torch.nn.modules.linear.Identity"


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    max_tokens: int = 0,
) -> None:
    """Write model and tokenizer into an existing folder, as safetensors and JSON.

    `max_tokens` is the longest input that others read too; 0 leaves it to the tokenizer.
    """
    kind = kind_of(model)
    tokenizer = copy.deepcopy(tokenizer)
    template = template_of(tokenizer, kind)
    if own_template(tokenizer) != template:
        build_pairs(tokenizer, template)
    typed = kind == "encoder" and getattr(model.config, "type_vocab_size", 0) >= 2
    names = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
    # What is saved of a tokenizer is what it was made with.
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names = names
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if max_tokens:
        tokenizer.model_max_length = max_tokens
    if kind == "decoder":
        padding = padding_token(tokenizer, template.closing)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
        model.config.pad_token_id = padding
    model.config.sentence_transformers = {"activation_fn": NO_ACTIVATION}
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def kind_of(model: PreTrainedModel) -> str:
    """Return "decoder" for causal models, with a head for ranking or for words, else "encoder"."""
    causal = type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    return "decoder" if causal or hasattr(model, "score") else "encoder"


def padding_token(tokenizer: PreTrainedTokenizerBase, closing: int) -> int:
    """Return the id of a token to pad with that is not `closing`.

    transformers scores the last token that is not padding. Where padding is the
    closing token, as in many decoders, that would be the document's last word.
    """
    candidates = [tokenizer.pad_token_id, tokenizer.unk_token_id, *tokenizer.all_special_ids]
    # Any other token will do: the mask hides it, and a pair never ends in it.
    return next((i for i in candidates if i is not None and i != closing), int(closing == 0))
