"""Estimates of tokens, and tokenising in slices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.base import Ranker, Text
from ranklift.rankers.serving import tokenizing
from ranklift.rankers.serving.lengths import Lengths
from ranklift.rankers.serving.tokenizing import Tokenizing, slices


def texts(*lengths: int) -> list[Text]:
    return [Text(str(i), "", "x" * length) for i, length in enumerate(lengths)]


@pytest.mark.parametrize("kind", ["bm25", "decoder", "encoder"])
def test_estimates_become_right(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    ranker: Ranker[Any] = load_ranker(artefacts[kind])
    short = [each for each in documents if len(each.body) < 50]
    encoded = ranker.encode("cbaba ababo", short)
    lengths = Lengths()
    for _ in range(10_000):
        lengths.observe("cbaba ababo", short, encoded)
    assert lengths.estimate("cbaba ababo", short) == pytest.approx(encoded.tokens, abs=1.5)


def test_estimates_know_the_limits() -> None:
    # Nothing learnt yet: 4 characters a token.
    assert Lengths().estimate("", texts(400, 4_000)) == 1_101
    assert Lengths(max_tokens=512).estimate("", texts(400, 4_000)) == 100 + 512 + 1
    assert Lengths(max_tokens=512).estimate("q" * 40, texts(400, 4_000), 20) == 30 + 30 + 1


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 50))
def test_slices_are_the_documents_in_order_and_small(lengths: list[int], chars: int) -> None:
    documents = texts(*lengths)
    found = list(slices(documents, chars))
    assert [each for some in found for each in some] == documents
    assert all(len(some) == 1 or sum(len(each.text) for each in some) <= chars for some in found)


def test_slices_change_nothing_of_what_is_encoded(
    artefacts: dict[str, Path], documents: list[Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker: Ranker[Any] = load_ranker(artefacts["encoder"])
    whole = ranker.encode("cbaba ababo", documents, max_tokens_per_document=9)
    assert whole.truncated
    monkeypatch.setattr(tokenizing, "SLICE_CHARS", 60)
    found = asyncio.run(Tokenizing().encode(ranker, "cbaba ababo", documents, 9))
    assert found.encoded == whole
    assert found.seconds > 0


def test_the_tokenizer_serves_requests_in_turn() -> None:
    class Slow:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def encode(self, query: str, documents: list[Text], **_: object) -> Any:
            from ranklift.rankers.base import Encoded

            self.seen.append(query)
            return Encoded(())

    async def act() -> list[str]:
        slow: Any = Slow()
        tokenizer = Tokenizing()
        await asyncio.gather(
            tokenizer.encode(slow, "large", texts(*[tokenizing.SLICE_CHARS] * 4), None),
            tokenizer.encode(slow, "small", texts(1), None),
        )
        return list(slow.seen)

    assert asyncio.run(act()) == ["large", "small", "large", "large", "large"]
