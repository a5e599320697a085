"""The transformers that rankers grow from: new ones, cut ones, pretrained ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ranklift.v1.errors import InvalidRequest, RequestError


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a transformer: its depth, its width, its heads, and the width of its
    feed-forward layers."""

    layers: int
    width: int
    heads: int
    feed_forward: int


# With a vocabulary of 500 words: 270,000 and 70,000 weights.
TINY_DECODER = Size(layers=2, width=96, heads=4, feed_forward=256)
TINY_ENCODER = Size(layers=1, width=64, heads=4, feed_forward=128)
# Five times BERT's own: from the start a word says more than its position.
EMBEDDING_SCALE = 0.1


def new_decoder(
    size: Size, tokenizer: PreTrainedTokenizerBase, max_tokens: int, *, seed: int
) -> PreTrainedModel:
    """Return an untrained Llama-style language model; embeddings in and out are the same."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=max_tokens,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with seeded(seed):
        return LlamaForCausalLM(config)


def new_encoder(
    size: Size, tokenizer: PreTrainedTokenizerBase, max_tokens: int, *, seed: int
) -> PreTrainedModel:
    """Return an untrained BERT with a scalar head and no dropout.

    A student learns from as many teacher scores as it likes: it has nothing to
    memorise that dropout would have to prevent.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=max_tokens,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.num_labels = 1
    with seeded(seed):
        return BertForSequenceClassification(config)


def word_embeddings(model: PreTrainedModel) -> Tensor:  # (words, width)
    """Return the weights of a model's input embeddings, outside of any gradient."""
    layer: Any = model.get_input_embeddings()
    weights: Tensor = layer.weight.data
    return weights


def reduced_embeddings(embeddings: Tensor, width: int) -> Tensor:
    """Return word embeddings (words, width) of a narrower model: the first principal components.

    Of all linear maps this one keeps most of what tells words apart
    (Eckart-Young); TinyBERT (arXiv 1909.10351, embedding-layer distillation)
    learns such a map. Standard deviation `EMBEDDING_SCALE`.
    """
    centred = embeddings - embeddings.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    components: Tensor = (left * values)[:, :width]
    return components.mul(EMBEDDING_SCALE / components.std().item())


def load_scorer(folder: Path, *, head_seed: int | None = None, labels: int = 1) -> PreTrainedModel:
    """Return the model in `folder` with a head, in fp32.

    Without `head_seed` the head is the folder's own, of as many labels as it
    has. With it the head has `labels`, and is made at random if there is none.

    Raises:
        InvalidRequest: the weights are not those of such a model.
    """
    found_labels = head_labels(folder)
    if head_seed is None:
        labels = found_labels or 1
    elif found_labels not in (0, labels):
        raise InvalidRequest.of(
            "uri", f'the head in "{folder}" has num_labels {found_labels}, must be {labels}'
        )
    with seeded(head_seed or 0):
        try:
            model, missing = _loaded(AutoModelForSequenceClassification, folder, num_labels=labels)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise _unreadable(folder, error) from error
    _refuse_lost(
        folder, [name for name in missing if head_seed is None or not is_above_body(model, name)]
    )
    return model


def is_above_body(model: PreTrainedModel, name: str) -> bool:
    """Return whether a weight or module is of what stands above the layers, which may be new."""
    body = model.base_model_prefix
    # BERT keeps the first layer of its head in the body.
    return not name.startswith(f"{body}.") or name.startswith(f"{body}.pooler.")


def _refuse_lost(folder: Path, lost: list[str]) -> None:
    if lost:
        raise InvalidRequest.of(
            "uri", f'the weights in "{folder}" are incomplete: no {", ".join(lost[:3])}'
        )


def load_body(folder: Path) -> PreTrainedModel:
    """Return the model in `folder` without any head, in fp32.

    Raises:
        InvalidRequest: the weights are not those of such a model.
    """
    try:
        model, missing = _loaded(AutoModel, folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    # Nobody reads what the pooler says.
    _refuse_lost(folder, [name for name in missing if not name.startswith("pooler.")])
    return model


def head_labels(folder: Path) -> int:
    """Return how many labels the head of the model in `folder` has, 0 if it has no head.

    Raises:
        InvalidRequest: there is no configuration that can be read.
    """
    config = _config(folder)
    headed = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return int(config.num_labels) if headed else 0


def outline(folder: Path) -> PreTrainedModel:
    """Return the model in `folder` with a head but without its weights: no more than its shape.

    Raises:
        InvalidRequest: there is no configuration that can be read, or no such model has a head.
    """
    config = _config(folder)
    try:
        with torch.device("meta"):
            kind: Any = AutoModelForSequenceClassification
            model: PreTrainedModel = kind.from_config(config)
    except ValueError as error:
        raise _unreadable(folder, error) from error
    return model


def longest_input(model: PreTrainedModel) -> int | None:
    """Return how many tokens the model has positions for, None where there is no such limit.

    RoBERTa, XLM-R and MPNet count positions from behind the padding's own: of
    514 they use 512.
    """
    for name, module in model.base_model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - offset
    longest: int | None = getattr(model.config, "max_position_embeddings", None)
    return longest


def check_fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
    """Check that the model has an embedding for every token and every position.

    Raises:
        InvalidRequest: it has not: model and tokenizer are of different vocabularies,
            or `max_tokens` is too many.
    """
    words, known = len(tokenizer), len(word_embeddings(model))
    if words > known:
        raise InvalidRequest.of(
            "uri",
            f"the tokenizer knows {words} tokens and the model {known}: they do not belong "
            "together; take the tokenizer that the model was trained with",
        )
    longest = longest_input(model)
    if longest is not None and max_tokens > longest:
        raise InvalidRequest.of(
            "max_tokens", f"{max_tokens} is more than the {longest} that this model reads"
        )


def load_language_model(folder: Path) -> PreTrainedModel:
    """Return the causal language model in `folder`, in fp32.

    Raises:
        InvalidRequest: the weights are not those of such a model.
    """
    try:
        model, missing = _loaded(AutoModelForCausalLM, folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InvalidRequest.of(
            "uri", f'"{folder}" holds no language model: {_first_line(error)}'
        ) from error
    if missing:
        raise InvalidRequest.of(
            "uri", f'"{folder}" holds no language model: no {", ".join(missing[:3])}'
        )
    return model


def cut(model: PreTrainedModel, layers: tuple[int, ...]) -> PreTrainedModel:
    """Keep only the given layers (0-based, ascending) of an encoder, and return it.

    Raises:
        InvalidRequest: no layer, one that the encoder does not have, or an
            architecture whose layers are no stack of their own.
    """
    owner, name, stack = _stack(model)
    if (
        not layers
        or list(layers) != sorted(set(layers))
        or not 0 <= layers[0] <= layers[-1] < len(stack)
    ):
        raise InvalidRequest.of(
            "layers", f"{list(layers)} must be ascending positions in [0, {len(stack)})"
        )
    kept = nn.ModuleList(stack[i] for i in layers)
    # ModernBERT normalises its embeddings and so leaves out the norm of what is its first layer.
    if isinstance(getattr(stack[0], "attn_norm", None), nn.Identity):
        kept[0].attn_norm = nn.Identity()
    setattr(owner, name, kept)
    config = model.config
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in layers]
    config.num_hidden_layers = len(layers)
    return model


def depth_of(folder: Path) -> int:
    """Return how many layers the encoder in `folder` has.

    Raises:
        InvalidRequest: no configuration of such a model is there.
    """
    try:
        return int(AutoConfig.from_pretrained(folder, local_files_only=True).num_hidden_layers)
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidRequest.of(
            "uri", f'"{folder}" holds no model that can be read: {_first_line(error)}'
        ) from error


def _stack(model: PreTrainedModel) -> tuple[nn.Module, str, nn.ModuleList]:
    """Return the module that holds the layers, under which name, and the layers."""
    count = model.config.num_hidden_layers
    found = [
        (owner, name, child)
        for owner in model.base_model.modules()
        for name, child in owner.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == count
    ]
    kinds = {type(layer) for _, _, stack in found for layer in stack}
    if len(found) != 1 or len(kinds) != 1:
        raise InvalidRequest.of(
            "layers",
            f'the architecture "{model.config.model_type}" has no one stack of {count} layers '
            "of its own to cut; give all layers",
        )
    return found[0]


def without_dropout(model: PreTrainedModel) -> None:
    """Turn dropout off, in place; what is saved keeps its setting."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def first(count: int) -> tuple[int, ...]:
    """Return the first `count` layers."""
    return tuple(range(count))


def alternate(count: int, of: int) -> tuple[int, ...]:
    """Return `count` layers spread evenly over `of`, the last one among them."""
    return tuple((i + 1) * of // count - 1 for i in range(count))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed`, and leave its global state as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing bars and tables while it handles weights."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _loaded(kind: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """Return the model in `folder` in fp32, and the names of the weights that it misses."""
    with quiet():
        model, found = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    return model, sorted(found["missing_keys"])


def _config(folder: Path) -> Any:
    try:
        with quiet():
            return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> RequestError:
    return InvalidRequest.of(
        "uri", f'"{folder}" holds no model that can be read: {_first_line(error)}'
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
