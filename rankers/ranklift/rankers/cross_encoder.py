"""The neural rankers: one scalar from a query and a document read together.

Encoders and decoders are `AutoModelForSequenceClassification`. An encoder
scores with its own head. A decoder scores with a linear head on the hidden
state of the closing token, the only one that has read everything (DisRanker,
arXiv 2411.04539); with one label or with several: `heads.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Manifest
from ranklift.rankers.backbones import check_fit, load_scorer
from ranklift.rankers.base import Encoded, Text, Values, finite
from ranklift.rankers.encoding import Pair, PairEncoder
from ranklift.rankers.engines.base import Engine
from ranklift.rankers.engines.choice import choose_engine, this_device
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.token_cache import TokenCache
from ranklift.v1.errors import InvalidRequest


class CrossEncoder:
    """Scores query and document together, with an engine of its choice."""

    def __init__(self, kind: str, encoder: PairEncoder, engine: Engine) -> None:
        self.kind = kind
        self._encoder = encoder
        self._engine = engine

    @property
    def numerics(self) -> str:
        return self._engine.numerics

    @property
    def token_cache_use(self) -> CacheUse:
        """How the token cache was used; nothing at all without one."""
        cache = self._encoder.cache
        return CacheUse() if cache is None else cache.use

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[Pair]:
        """Return `query` with each document as token ids, cut to the model's length."""
        return self._encoder.encode(
            query, documents, max_tokens_per_document=max_tokens_per_document
        )

    def scores(self, pairs: Sequence[Pair]) -> Values:
        """Return one score per pair, in their order."""
        return finite(self._engine.scores(pairs))


def load_cross_encoder(
    folder: Path, manifest: Manifest, token_cache_tokens: int = 0
) -> CrossEncoder:
    """Return the ranker of an encoder's or decoder's artefact; a cache of 0 tokens is none.

    Raises:
        InvalidRequest: the files do not fit together, or no engine computes them in
            their numerics.
        NotReady: the engine that does is too far off on this machine.
    """
    model = load_scorer(folder)
    tokenizer = load_tokenizer(folder)
    check_fit(model, tokenizer, manifest.max_tokens)
    cache = TokenCache(token_cache_tokens) if token_cache_tokens else None
    encoder = PairEncoder(tokenizer, manifest.kind, manifest.max_tokens, cache)
    engine = choose_engine(
        model,
        manifest.kind,
        manifest.numerics,
        template=encoder.template,
        max_tokens=manifest.max_tokens,
        device=this_device(),
    )
    return CrossEncoder(manifest.kind, encoder, engine)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer in `folder`.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    except Exception as error:  # the tokenizers library raises bare ones
        raise InvalidRequest.of("uri", _no_tokenizer(folder)) from error
    if not tokenizer.is_fast:  # written in Python: it has no library underneath
        raise InvalidRequest.of("uri", _no_tokenizer(folder))
    return tokenizer


def _no_tokenizer(folder: Path) -> str:
    return f'"{folder}" holds no tokenizer that can be read; it needs tokenizer.json'
