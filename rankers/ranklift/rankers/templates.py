"""The special tokens around query and document: what a model's own tokenizer says, or is told.

    encoder    [CLS] query [SEP] title text [SEP]     BERT, ELECTRA, DistilBERT, DeBERTa, ModernBERT
               <s> query </s></s> title text </s>     RoBERTa, XLM-R, MPNet
               <bos> query <eos> title text <eos>     a new one with the tokenizer of a decoder
    decoder    <bos> query <sep> title text <eos>     without <bos> where the tokenizer has none;
                                                      a new line where it has no <sep>

An encoder was pre-trained with the pairs of its tokenizer, so these are taken.
A decoder's tokenizer knows no pairs: those that rankers read are written into it
when a version is saved, so that `tokenizer(query, document)` gives them anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from ranklift.v1.errors import InvalidRequest

# Any text that every tokenizer has a token for.
PROBE = "a"


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around query and document."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    closing: int

    @property
    def length(self) -> int:
        return len(self.before) + len(self.between) + 1


def template_of(tokenizer: PreTrainedTokenizerBase, kind: str) -> Template:
    """Return the template of an "encoder" or a "decoder" with this tokenizer.

    Raises:
        InvalidRequest: the tokenizer lacks a special token that it needs.
    """
    return _encoders(tokenizer) if kind == "encoder" else _decoders(tokenizer)


def _encoders(tokenizer: PreTrainedTokenizerBase) -> Template:
    own = own_template(tokenizer)
    # A teacher's tokenizer may build the pairs of a decoder, and its student not want them.
    if own is not None and own.before[0] == tokenizer.cls_token_id:
        return own
    first = _one_of(tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    separator = _one_of(tokenizer.sep_token_id, tokenizer.eos_token_id)
    if first is None or separator is None:
        raise InvalidRequest.of("uri", "the tokenizer of this encoder lacks [CLS] and [SEP]")
    return Template((first,), (separator,), separator)


def _one_of(*ids: int | None) -> int | None:
    return next((each for each in ids if each is not None), None)


def _decoders(tokenizer: PreTrainedTokenizerBase) -> Template:
    first, separator, closing = (
        tokenizer.bos_token_id,
        tokenizer.sep_token_id,
        tokenizer.eos_token_id,
    )
    if closing is None:
        raise InvalidRequest.of(
            "uri", "the tokenizer of this decoder lacks an end-of-sequence token"
        )
    return Template(
        before=() if first is None else (first,),
        between=tuple(_line_end(tokenizer)) if separator is None else (separator,),
        closing=closing,
    )


def _line_end(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer.backend_tokenizer.encode("\n", add_special_tokens=False).ids
    # To a vocabulary of words alone a new line is nothing, or unknown.
    return [] if tokenizer.unk_token_id in ids else ids


def own_template(tokenizer: PreTrainedTokenizerBase) -> Template | None:
    """Return the template of the pairs that the tokenizer itself builds, if it closes them."""
    encoded = tokenizer.backend_tokenizer.encode(PROBE, PROBE)
    # tokenizer.json may ask for padding.
    read = sum(encoded.attention_mask)
    ids, parts = encoded.ids[:read], encoded.sequence_ids[:read]
    if 0 not in parts or 1 not in parts:
        return None
    before = ids[: parts.index(0)]
    between = ids[_last(parts, 0) + 1 : parts.index(1)]
    closing = ids[_last(parts, 1) + 1 :]
    if not before or not between or len(closing) != 1:
        return None
    return Template(tuple(before), tuple(between), closing[0])


def types_documents(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the pairs that the tokenizer itself builds tell query and document by type."""
    encoded = tokenizer.backend_tokenizer.encode(PROBE, PROBE)
    typed = zip(encoded.type_ids, encoded.sequence_ids, strict=True)
    return all(type_id == part for type_id, part in typed if part is not None)


def _last(parts: Sequence[int | None], part: int) -> int:
    return max(i for i, each in enumerate(parts) if each == part)


def build_pairs(tokenizer: PreTrainedTokenizerBase, template: Template) -> None:
    """Make `tokenizer(query, document)` give the ids that rankers read, with types 0 and 1."""
    special = {
        name: list(ids)
        for name, ids in (
            ("before", template.before),
            ("between", template.between),
            ("closing", (template.closing,)),
        )
        if ids
    }

    def present(*pieces: str) -> list[str]:
        return [piece for piece in pieces if piece[0] == "$" or piece.partition(":")[0] in special]

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=present("before:0", "$A:0", "closing:0"),
        pair=present("before:0", "$A:0", "between:0", "$B:1", "closing:1"),
        special_tokens=[
            {"id": name, "ids": ids, "tokens": tokenizer.convert_ids_to_tokens(ids)}
            for name, ids in special.items()
        ],
    )
