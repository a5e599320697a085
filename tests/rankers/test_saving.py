"""A version elsewhere: transformers and sentence-transformers give it the scores that we give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from sentence_transformers import CrossEncoder
from tests.rankers.families import FAMILIES, model_of, tokenizer_of
from tokenizers import pre_tokenizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import Size, load_scorer, new_encoder, word_embeddings
from ranklift.rankers.base import Text, Values, score_texts
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.saving import save
from ranklift.rankers.templates import template_of
from ranklift.v1.errors import InvalidRequest

NEURAL = pytest.mark.parametrize("kind", ["decoder", "encoder"])
QUERY = "cbaba ababo"
MAX_TOKENS = 32


def by_transformers(
    folder: Path, query: str, documents: Sequence[Text], side: str = "right"
) -> Values:
    """Return what anyone's own code gives who knows nothing of rankers."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer(
        [query] * len(documents),
        [each.body for each in documents],
        padding=True,
        truncation=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        values: Values = model(**batch).logits[:, 0].double().numpy()
    return values


def by_sentence_transformers(folder: Path, query: str, documents: Sequence[Text]) -> Values:
    model = CrossEncoder(str(folder), device="cpu")
    pairs = [(query, each.body) for each in documents]
    return np.asarray(model.predict(pairs, show_progress_bar=False), np.float64)


@NEURAL
def test_scores_are_the_same_elsewhere(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    # Titles, texts, both, and two documents that are cut.
    folder = artefacts[kind]
    ours = score_texts(load_ranker(folder), QUERY, documents)
    assert ours.truncated == (1, 4)
    assert ours.values.std() > 1e-2
    theirs = [
        by_transformers(folder, QUERY, documents),
        by_sentence_transformers(folder, QUERY, documents),
    ]
    if kind == "decoder":  # Llama's positions are relative: padding on the left is no shift
        theirs.append(by_transformers(folder, QUERY, documents, side="left"))
    for found in theirs:
        np.testing.assert_allclose(found, ours.values, atol=1e-5)


@NEURAL
def test_only_a_query_longer_than_half_the_room_is_read_otherwise_elsewhere(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    folder = artefacts[kind]
    room = MAX_TOKENS - 4 + (kind == "encoder")
    ranker = load_ranker(folder)
    half = " ".join(["cbaba"] * (room // 2))
    np.testing.assert_allclose(
        by_transformers(folder, half, documents),
        score_texts(ranker, half, documents).values,
        atol=1e-5,
    )
    longer = f"{half} ababo fbaba cbabe"
    off = by_transformers(folder, longer, documents) - score_texts(ranker, longer, documents).values
    # With a document that fills its own half the query is cut to the same; a short one leaves it.
    assert np.abs(off[[1, 4]]).max() < 1e-5
    assert np.abs(off[0]) > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_scores_the_same_elsewhere(tmp_path: Path, family: str) -> None:
    tokenizer = tokenizer_of(family)
    with new_artefact(
        tmp_path / "version", Manifest("encoder", "fp32", 40, Lineage("distil"))
    ) as folder:
        save(model_of(family, tokenizer), tokenizer, folder, max_tokens=40)
    documents = [Text("a", "lift", "wing"), Text("b", "a long text", "wing " * 60)]
    ours = score_texts(load_ranker(tmp_path / "version"), "stalls?", documents)
    assert ours.truncated == (1,)
    for theirs in (by_transformers, by_sentence_transformers):
        found = theirs(tmp_path / "version", "stalls?", documents)
        np.testing.assert_allclose(found, ours.values, atol=2e-5)


@pytest.mark.parametrize("teacher", ["roberta", "gpt2"])
def test_a_new_student_reads_with_the_tokenizer_of_any_teacher(
    tmp_path: Path, teacher: str, documents: list[Text]
) -> None:
    tokenizer = byte_tokenizer() if teacher == "gpt2" else tokenizer_of(teacher)
    student = new_encoder(Size(1, 16, 2, 16), tokenizer, 100, seed=1)
    # Fresh weights are so small that all scores, and all types, look alike.
    with torch.no_grad():
        for weight in student.parameters():
            if weight.dim() > 1:
                weight.mul_(20)
    with new_artefact(
        tmp_path / "student", Manifest("encoder", "fp32", 100, Lineage("distil"))
    ) as folder:
        save(student, tokenizer, folder, max_tokens=100)
    ours = score_texts(load_ranker(tmp_path / "student"), QUERY, documents).values
    assert ours.std() > 1e-2
    for theirs in (by_transformers, by_sentence_transformers):
        found = theirs(tmp_path / "student", QUERY, documents)
        np.testing.assert_allclose(found, ours, atol=1e-5)


def test_padding_is_never_the_closing_token(
    tmp_path: Path,
    artefacts: dict[str, Path],
    tokenizer: PreTrainedTokenizerBase,
    documents: list[Text],
) -> None:
    # As many decoders come: the padding token is the end-of-sequence token, or there is none.
    for padding in (tokenizer.eos_token, None):
        came = load_tokenizer(artefacts["decoder"])
        came.pad_token = padding
        folder = tmp_path / str(padding)
        with new_artefact(
            folder, Manifest("decoder", "fp32", MAX_TOKENS, Lineage("sft"))
        ) as filled:
            save(load_scorer(artefacts["decoder"]), came, filled, max_tokens=MAX_TOKENS)
        closing = template_of(tokenizer, "decoder").closing
        assert AutoTokenizer.from_pretrained(folder).pad_token_id != closing
        ours = score_texts(load_ranker(folder), QUERY, documents).values
        for side in ("left", "right"):
            theirs = by_transformers(folder, QUERY, documents, side=side)
            np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_a_decoder_without_a_separator_reads_a_new_line(
    tmp_path: Path, documents: list[Text]
) -> None:
    tokenizer = byte_tokenizer()
    config = hf.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=300,
        initializer_range=0.3,
    )
    config.num_labels = 1
    folder = tmp_path / "gpt2"
    with new_artefact(folder, Manifest("decoder", "fp32", 300, Lineage("sft"))) as filled:
        save(hf.GPT2ForSequenceClassification(config), tokenizer, filled, max_tokens=300)
    saved = AutoTokenizer.from_pretrained(folder)
    (pair,) = (
        PairEncoder(load_tokenizer(folder), "decoder", 300).encode("ab", [Text("1", "c", "")]).pairs
    )
    assert saved("ab", "c")["input_ids"] == list(pair.ids)
    assert saved.decode(list(pair.ids)) == "ab\nc<|endoftext|>"
    ours = score_texts(load_ranker(folder), QUERY, documents).values
    np.testing.assert_allclose(by_transformers(folder, QUERY, documents), ours, atol=1e-4)
    np.testing.assert_allclose(by_sentence_transformers(folder, QUERY, documents), ours, atol=1e-4)
    # Its positions are learnt: with padding on the left, transformers counts them from there.
    left = by_transformers(folder, QUERY, documents, side="left")
    assert np.abs(left - ours).max() > 1e-3


def byte_tokenizer() -> PreTrainedTokenizerBase:
    """Return a GPT-2's: one special token, the end, which is the unknown one too."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*alphabet, "<|endoftext|>"])}
    made: Any = hf.GPT2Tokenizer(vocab=vocabulary, merges=[])
    made.bos_token = None
    tokenizer: PreTrainedTokenizerBase = made
    return tokenizer


def test_a_folder_that_lacks_something_is_refused_in_one_line(
    tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    for lost, said in (
        ("tokenizer.json", "lacks tokenizer.json"),
        ("model.safetensors", "lacks model.safetensors"),
        ("config.json", "lacks config.json"),
    ):
        folder = tmp_path / lost
        folder.mkdir()
        for file in artefacts["encoder"].iterdir():
            if file.name != lost:
                (folder / file.name).write_bytes(file.read_bytes())
        with pytest.raises(Exception, match=said):
            load_ranker(folder)
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(InvalidRequest, match=r"holds no model that can be read: [^\n]*$"):
        load_scorer(bare)
    with pytest.raises(InvalidRequest, match=r"holds no tokenizer that can be read[^\n]*$"):
        load_tokenizer(bare)
    with pytest.raises(
        InvalidRequest, match=r"holds no model that can be read: [^\n]*$"
    ) as refused:
        load_scorer(tmp_path / "model.safetensors")
    assert "safetensors" in str(refused.value)


def test_saving_leaves_the_callers_tokenizer_alone(
    tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    tokenizer = load_tokenizer(artefacts["encoder"])
    before = tokenizer.model_max_length, tokenizer.pad_token, tokenizer("a", "b")["input_ids"]
    model = load_scorer(artefacts["decoder"])
    assert len(word_embeddings(model)) == len(tokenizer)
    save(model, tokenizer, tmp_path, max_tokens=9)
    after = tokenizer.model_max_length, tokenizer.pad_token, tokenizer("a", "b")["input_ids"]
    assert after == before
    assert AutoTokenizer.from_pretrained(tmp_path)("a", "b")["input_ids"] != before[2]
