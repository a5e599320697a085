"""Encoders and decoders as rankers: what they score must not depend on company or padding."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from ranklift.rankers import encoding
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.backbones import (
    EMBEDDING_SCALE,
    Size,
    alternate,
    cut,
    first,
    load_scorer,
    new_encoder,
    reduced_embeddings,
)
from ranklift.rankers.base import Text, score_texts
from ranklift.rankers.cross_encoder import CrossEncoder, load_tokenizer
from ranklift.rankers.encoding import PairEncoder, chunks, pad
from ranklift.rankers.engines.reference import (
    CHUNK_TOKENS,
    ReferenceEngine,
    last_token_scores,
)
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.templates import template_of
from ranklift.v1.errors import InvalidRequest, NotReady

NEURAL = pytest.mark.parametrize("kind", ["decoder", "encoder"])
QUERY = "cbaba ababo"


@NEURAL
def test_scores_of_many_are_the_scores_of_each_alone(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    ranker = load_ranker(artefacts[kind])
    together = score_texts(ranker, QUERY, documents * 30).values
    alone = np.concatenate([score_texts(ranker, QUERY, [each]).values for each in documents])
    assert alone.std() > 1e-2
    np.testing.assert_allclose(together, np.tile(alone, 30), atol=1e-5)


@NEURAL
def test_a_long_text_is_read_no_further_than_a_model_could(
    artefacts: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = PairEncoder(load_tokenizer(artefacts[kind]), kind, 32)
    read = 20 * (32 - encoder.template.length)
    texts = {
        "words": "cbaba " * 20_000,
        "one word": "c" * 100_000,
        "blanks before": " " * read + "  . cbaba",
        "blanks after": "cbaba" + " " * 100_000,
        "short": "cbaba fbaba",
    }
    documents = [Text(name, "", f".{text}") for name, text in texts.items()]
    found = encoder.encode(QUERY, documents)
    cut = [documents[i].id for i in found.truncated]
    assert cut == ["words", "one word", "blanks before"]
    # Without the rule nothing else would be read of them, but for the blanks.
    monkeypatch.setattr(encoding, "CHARS_PER_TOKEN", 1_000_000)
    whole = encoder.encode(QUERY, documents)
    for i in (0, 3, 4):
        assert found.pairs[i] == whole.pairs[i]


@NEURAL
def test_the_same_request_gets_the_same_bits(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    once, again = (
        score_texts(load_ranker(artefacts[kind]), QUERY, documents).values for _ in range(2)
    )
    assert once.tolist() == again.tolist()


@NEURAL
def test_scores_are_those_of_transformers(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    # One pair at a time, without padding, the library's own forward is right.
    folder = artefacts[kind]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    encoder = PairEncoder(load_tokenizer(folder), kind, 32)
    expected = []
    for pair in encoder.encode(QUERY, documents).pairs:
        batch = pad([pair])
        types = {"token_type_ids": batch.token_type_ids} if kind == "encoder" else {}
        with torch.inference_mode():
            expected.append(model(input_ids=batch.input_ids, **types).logits.item())
    ours = score_texts(load_ranker(folder), QUERY, documents).values
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_left_and_right_padding_give_a_decoder_the_same_scores(
    artefacts: dict[str, Path], tokenizer: PreTrainedTokenizerBase, documents: list[Text]
) -> None:
    model = load_scorer(artefacts["decoder"])
    pairs = PairEncoder(tokenizer, "decoder", 32).encode(QUERY, documents).pairs
    right = pad(pairs)
    width = right.input_ids.shape[1]
    # Padded with the closing token itself: only the mask can tell them apart.
    closing = template_of(tokenizer, "decoder").closing
    ids = torch.full_like(right.input_ids, closing)
    mask = torch.zeros_like(right.attention_mask)
    for row, pair in enumerate(pairs):
        ids[row, width - len(pair.ids) :] = torch.tensor(pair.ids)
        mask[row, width - len(pair.ids) :] = 1
    with torch.inference_mode():
        left_scores = last_token_scores(model, ids, mask)
        right_scores = last_token_scores(model, right.input_ids, right.attention_mask)
    assert right_scores.std() > 1e-2
    torch.testing.assert_close(left_scores, right_scores, atol=1e-5, rtol=0)


@NEURAL
def test_cut_documents_are_reported_and_keep_their_closing_token(
    artefacts: dict[str, Path],
    tokenizer: PreTrainedTokenizerBase,
    documents: list[Text],
    kind: str,
) -> None:
    encoded = PairEncoder(tokenizer, kind, 32).encode(QUERY, documents)
    assert [documents[i].id for i in encoded.truncated] == ["long", "longer"]
    closing = template_of(tokenizer, kind).closing
    assert {pair.ids[-1] for pair in encoded.pairs} == {closing}
    assert max(len(pair.ids) for pair in encoded.pairs) == 32
    scores = score_texts(load_ranker(artefacts[kind]), QUERY, documents)
    assert scores.truncated == encoded.truncated
    assert scores.tokens == sum(len(pair.ids) for pair in encoded.pairs)


@NEURAL
def test_a_limit_of_the_request_cuts_further_but_never_less(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    ranker = load_ranker(artefacts[kind])
    assert score_texts(ranker, QUERY, documents, max_tokens_per_document=2).truncated == (
        1,
        2,
        3,
        4,
    )
    by_model = score_texts(ranker, QUERY, documents)
    lavish = score_texts(ranker, QUERY, documents, max_tokens_per_document=10_000)
    assert lavish.values.tolist() == by_model.values.tolist()


@NEURAL
def test_a_query_without_end_leaves_room_for_the_document(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    values = score_texts(load_ranker(artefacts[kind]), "cbaba " * 5_000, documents).values
    assert len(set(values.round(6))) > 2


def test_a_score_that_is_not_finite_is_an_error(
    artefacts: dict[str, Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    model = load_scorer(artefacts["encoder"])
    with torch.no_grad():
        model.get_parameter("classifier.bias").fill_(float("nan"))
    ranker = CrossEncoder(
        "encoder", PairEncoder(tokenizer, "encoder", 32), ReferenceEngine(model, "encoder")
    )
    with pytest.raises(ArithmeticError, match="2 of 2 documents are not finite"):
        score_texts(ranker, "a", [Text("1", "a", "")] * 2)


def test_too_few_tokens_for_a_pair_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(InvalidRequest, match="give at least 5"):
        PairEncoder(tokenizer, "encoder", 4)


@given(st.lists(st.integers(1, 3_000), max_size=80), st.integers(1, 4_000))
def test_chunks_hold_every_text_once_and_keep_the_budget(
    lengths: Sequence[int], budget: int
) -> None:
    found = chunks(lengths, budget)
    assert sorted(i for chunk in found for i in chunk) == list(range(len(lengths)))
    for chunk in found:
        widest = max(lengths[i] for i in chunk)
        assert len(chunk) == 1 or widest * len(chunk) <= budget
    assert CHUNK_TOKENS > 0


def test_a_pair_is_built_as_the_pretrained_tokenizer_builds_it(documents: list[Text]) -> None:
    tokenizer = load_tokenizer(pretrained())
    query = "how do Airfoils stall?"
    bodies = [*documents, Text("real", "Stalling", "An airfoil's lift drops; naïve résumé.")]
    encoded = PairEncoder(tokenizer, "encoder", 512).encode(query, bodies)
    for pair, each in zip(encoded.pairs, bodies, strict=True):
        theirs = tokenizer(query, each.body)
        assert list(pair.ids) == theirs["input_ids"]
        assert pad([pair]).token_type_ids[0].tolist() == theirs["token_type_ids"]


def test_a_pretrained_encoder_is_cut_to_fewer_layers() -> None:
    whole = load_scorer(pretrained(), head_seed=0)
    fifth = whole.get_parameter("bert.encoder.layer.4.attention.self.query.weight").clone()
    short = cut(whole, (1, 4))
    assert short.config.num_hidden_layers == 2
    kept = short.get_parameter("bert.encoder.layer.1.attention.self.query.weight")
    assert torch.equal(kept, fifth)


def pretrained() -> Path:
    try:
        return minilm_folder()
    except NotReady as error:
        pytest.skip(str(error))


def test_first_and_alternate_layers() -> None:
    assert first(3) == (0, 1, 2)
    assert alternate(3, of=6) == (1, 3, 5)
    assert alternate(2, of=12) == (5, 11)


@pytest.mark.parametrize("layers", [(), (2,), (-1,), (1, 0), (0, 0)])
def test_layers_that_are_not_there_are_refused(
    tokenizer: PreTrainedTokenizerBase, layers: tuple[int, ...]
) -> None:
    model = new_encoder(Size(2, 16, 2, 16), tokenizer, 16, seed=0)
    with pytest.raises(InvalidRequest, match=r"positions in \[0, 2\)"):
        cut(model, layers)


def test_reduced_embeddings_keep_the_distances_between_words() -> None:
    # Words on a plane in a space of 40 dimensions: two of them are enough.
    generator = torch.Generator().manual_seed(4)
    plane = torch.randn((2, 40), generator=generator)
    words = torch.randn((30, 2), generator=generator) @ plane + 5
    reduced = reduced_embeddings(words, 2)
    assert reduced.std().item() == pytest.approx(EMBEDDING_SCALE)
    ratio = torch.pdist(reduced) / torch.pdist(words)
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))


def test_a_new_model_is_made_by_its_seed_and_leaves_the_global_state_alone(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    size = Size(1, 16, 2, 16)
    before = torch.random.get_rng_state()
    one, same, other = (new_encoder(size, tokenizer, 16, seed=s) for s in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    weight = "classifier.weight"
    assert torch.equal(one.get_parameter(weight), same.get_parameter(weight))
    assert not torch.equal(one.get_parameter(weight), other.get_parameter(weight))
