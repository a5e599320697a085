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

from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from ranklift.rankers.backbones import quiet
from ranklift.rankers.templates import (
    Template,
    build_pairs,
    own_template,
    template_of,
    types_documents,
)
from ranklift.v1.errors import InvalidRequest

NO_ACTIVATION = "torch.nn.modules.linear.Identity"
PROBE_TOKENS = 500


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    max_tokens: int = 0,
) -> None:
    """Write model and tokenizer into an existing folder, as safetensors and JSON.

    `max_tokens` is the longest input that others read too; 0 leaves it to the tokenizer.

    Raises:
        InvalidRequest: the tokenizer lacks a special token, or read from disk is another one.
    """
    kind = kind_of(model)
    typed = kind == "encoder" and getattr(model.config, "type_vocab_size", 0) >= 2
    saved = _with_pairs(tokenizer, template_of(tokenizer, kind), typed)
    names = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
    # What is saved of a tokenizer is what it was made with.
    saved.init_kwargs["model_input_names"] = saved.model_input_names = names
    saved.padding_side = saved.truncation_side = "right"
    if max_tokens:
        saved.model_max_length = max_tokens
    if kind == "decoder" or saved.pad_token_id is None:
        padding = padding_token(saved, template_of(saved, kind).closing)
        saved.pad_token = saved.convert_ids_to_tokens(padding)
        model.config.pad_token_id = padding
    model.config.sentence_transformers = {"activation_fn": NO_ACTIVATION}
    with quiet():
        model.save_pretrained(folder)
        saved.save_pretrained(folder)
        _check_reading(saved, folder, model.config.model_type, typed)


def _with_pairs(
    tokenizer: PreTrainedTokenizerBase, template: Template, typed: bool
) -> PreTrainedTokenizerBase:
    """Return a copy that builds the pairs of `template`, for `typed` models with types 0 and 1."""
    own = copy.deepcopy(tokenizer)
    if own_template(own) == template and (types_documents(own) or not typed):
        return own
    build_pairs(own, template)
    # A class of its own, as RoBERTa's, would build its own pairs again when it is loaded.
    plain: PreTrainedTokenizerBase = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=own.backend_tokenizer,
        chat_template=own.chat_template,
        model_max_length=own.model_max_length,
        **own.special_tokens_map,
    )
    return plain


def _check_reading(
    tokenizer: PreTrainedTokenizerBase, folder: Path, architecture: str, typed: bool
) -> None:
    """Check that the tokenizer in `folder` reads as `tokenizer` does.

    transformers chooses its class by the model's architecture, for some whatever
    was saved, and may split texts in its own way.
    """
    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    sample = range(0, len(tokenizer), max(1, len(tokenizer) // PROBE_TOKENS))
    text = str(tokenizer.decode(list(sample)))
    ours, theirs = (each.backend_tokenizer.encode(text, text) for each in (tokenizer, loaded))
    if ours.ids != theirs.ids or (typed and ours.type_ids != theirs.type_ids):
        raise InvalidRequest.of(
            "uri",
            f"beside a model of the architecture {architecture} this tokenizer is read as a "
            f"{type(loaded).__name__} and gives other tokens; take one made for {architecture}",
        )


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
