"""From query and documents to token ids, the same in training and in serving.

What does not fit is cut off the document, never off the closing token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.base import Encoded, Text
from ranklift.rankers.templates import template_of
from ranklift.rankers.token_cache import TokenCache
from ranklift.v1.errors import InvalidRequest

# What is read of a text for every token that there is room for: four times what English has, so
# that only what no model could read is lost, and a text of a megabyte costs no more than others.
CHARS_PER_TOKEN = 20
# Names the way of this module, for whoever keeps what was read this way: another one, another name.
READING = "pairs-2"


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document as token ids; the document's begin at `start`."""

    ids: tuple[int, ...]
    start: int

    @property
    def tokens(self) -> int:
        return len(self.ids)


class PairEncoder:
    """Turns pairs into ids of at most `max_tokens`, special tokens included.

    With a `cache`, which is this encoder's alone, a document is tokenised once.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        kind: str,
        max_tokens: int,
        cache: TokenCache | None = None,
    ) -> None:
        self.template = template_of(tokenizer, kind)
        if max_tokens < self.template.length + 2:
            raise InvalidRequest.of(
                "max_tokens",
                f"{max_tokens} leave no room for query and document; "
                f"give at least {self.template.length + 2}",
            )
        self._room = max_tokens - self.template.length
        self.cache = cache
        # The library underneath: transformers' own call takes a third longer for the same ids.
        self._tokenizer = tokenizer.backend_tokenizer
        # Cutting is our own work, and a tokenizer.json may ask for it.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Encoded[Pair]:
        """Return the pairs of `query` with each document.

        A query longer than half the room is cut to that half, so that every
        document keeps the other one. Of no text more than `CHARS_PER_TOKEN`
        characters are read for each token of the room.
        """
        chars = self._room * CHARS_PER_TOKEN
        texts = [document.body for document in documents]
        asked, bodies = self._ids(query[:chars], [text[:chars] for text in texts])
        asked = asked[: self._room // 2]
        room = self._room - len(asked)
        limit = min(room, max_tokens_per_document or room)
        head = (*self.template.before, *asked, *self.template.between)
        return Encoded(
            pairs=tuple(
                Pair((*head, *body[:limit], self.template.closing), len(head)) for body in bodies
            ),
            truncated=tuple(
                i
                for i, (text, body) in enumerate(zip(texts, bodies, strict=True))
                if len(body) > limit or text[chars:].strip()
            ),
        )

    def _ids(self, query: str, bodies: list[str]) -> tuple[list[int], list[Sequence[int]]]:
        """Return the ids of query and documents, the latter only as far as any pair reads them."""
        if self.cache is None:
            asked, *found = self._tokenized([query, *bodies])
            return asked, list(found)
        keys, known = self.cache.find(bodies)
        missing = [i for i, ids in enumerate(known) if ids is None]
        asked, *new = self._tokenized([query, *(bodies[i] for i in missing)])
        fresh = dict(zip(missing, new, strict=True))
        self.cache.keep((keys[i], ids) for i, ids in fresh.items())
        return asked, [fresh[i] if ids is None else ids for i, ids in enumerate(known)]

    def _tokenized(self, texts: list[str]) -> list[list[int]]:
        # One id more than there is room for tells that a document was cut.
        read = self._room + 1
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [each.ids[:read] for each in encoded]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs padded on the right: ids, mask and token types, all of shape (pairs, tokens)."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor


def pad(pairs: Sequence[Pair]) -> Batch:
    """Return `pairs` as one batch; padding is id 0 and told apart by the mask alone."""
    width = max(len(pair.ids) for pair in pairs)
    input_ids = torch.zeros((len(pairs), width), dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    token_type_ids = torch.zeros_like(input_ids)
    for row, pair in enumerate(pairs):
        length = len(pair.ids)
        input_ids[row, :length] = torch.tensor(pair.ids)
        attention_mask[row, :length] = 1
        token_type_ids[row, pair.start : length] = 1
    return Batch(input_ids, attention_mask, token_type_ids)


def chunks(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return the positions of `lengths` in chunks of at most `budget` padded tokens.

    Longest first, so that a chunk holds texts of like length. A text longer
    than the budget is a chunk of its own.
    """
    found: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # The first of a chunk is its longest: the width of all its rows.
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(position)
        else:
            found.append([position])
    return found
