"""Encoders of every family: read as they were pre-trained, cut, and bounded by their positions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from tests.rankers.families import FAMILIES, LAYERS, POSITIONS, model_of, tokenizer_of

from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import alternate, check_fit, cut, first, load_scorer, longest_input
from ranklift.rankers.base import RankingList, Text, score_texts
from ranklift.rankers.encoding import READING, PairEncoder, pad
from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.rankers.saving import save
from ranklift.rankers.training.distil import DistilOptions, FromPretrained, distil
from ranklift.v1.errors import InvalidRequest

EACH = pytest.mark.parametrize("family", FAMILIES)
QUERY = "how do airfoils stall?"
DOCUMENTS = (
    Text("a", "lift", "wing"),
    Text("b", "", "a wing stalls"),
    Text("c", "Stall", ""),
    Text("d", "airfoil's", "x1, é."),
)
SPECIAL = {
    "roberta": "<s> q </s></s> d </s>",
    "xlm-roberta": "<s> q </s></s> d </s>",
    "mpnet": "<s> q </s></s> d </s>",
}


@EACH
def test_a_pair_is_what_the_familys_own_tokenizer_makes_of_it(family: str) -> None:
    tokenizer = tokenizer_of(family)
    encoder = PairEncoder(tokenizer, "encoder", 512)
    template = encoder.template
    names = tokenizer.convert_ids_to_tokens([*template.before, *template.between, template.closing])
    wanted = SPECIAL.get(family, "[CLS] q [SEP] d [SEP]")
    assert "".join(names) == wanted.replace(" ", "").replace("q", "").replace("d", "")
    typed = "token_type_ids" in tokenizer.model_input_names
    for pair, each in zip(encoder.encode(QUERY, DOCUMENTS).pairs, DOCUMENTS, strict=True):
        theirs = tokenizer(QUERY, each.body)
        assert list(pair.ids) == theirs["input_ids"]
        if typed:
            assert pad([pair]).token_type_ids[0].tolist() == theirs["token_type_ids"]


@EACH
def test_padding_changes_no_score_and_none_is_other_than_the_familys_own(family: str) -> None:
    tokenizer = tokenizer_of(family)
    model = model_of(family, tokenizer)
    pairs = PairEncoder(tokenizer, "encoder", 62).encode(QUERY, DOCUMENTS).pairs
    engine = ReferenceEngine(model, "encoder")
    together = engine.scores(pairs)
    alone = np.concatenate([engine.scores([pair]) for pair in pairs])
    assert together.std() > 1e-3
    np.testing.assert_allclose(together, alone, atol=2e-5)
    if getattr(model.config, "type_vocab_size", 0) < 2:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    batch = tokenizer(
        [QUERY] * len(DOCUMENTS),
        [each.body for each in DOCUMENTS],
        padding=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        theirs = model(**batch).logits[:, 0]
    np.testing.assert_allclose(together, theirs.double().numpy(), atol=2e-5)


@EACH
@pytest.mark.parametrize("layers", [first(2), alternate(1, of=LAYERS), (1, 2)])
def test_a_cut_encoder_is_the_same_from_disk(
    tmp_path: Path, family: str, layers: tuple[int, ...]
) -> None:
    tokenizer = tokenizer_of(family)
    whole = model_of(family, tokenizer)
    pairs = PairEncoder(tokenizer, "encoder", 62).encode(QUERY, DOCUMENTS).pairs
    before = ReferenceEngine(whole, "encoder").scores(pairs)
    short = cut(whole, layers)
    assert short.config.num_hidden_layers == len(layers)
    scores = ReferenceEngine(short, "encoder").scores(pairs)
    assert np.abs(scores - before).max() > 1e-3
    save(short, tokenizer, tmp_path)
    loaded = load_scorer(tmp_path)
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in short.parameters())
    np.testing.assert_allclose(ReferenceEngine(loaded, "encoder").scores(pairs), scores, atol=1e-6)


def test_an_encoder_of_shared_layers_is_not_cut() -> None:
    config = hf.AlbertConfig(
        vocab_size=50,
        embedding_size=16,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=16,
        num_hidden_layers=4,
    )
    with pytest.raises(InvalidRequest, match='"albert" has no one stack of 4 layers'):
        cut(hf.AlbertForSequenceClassification(config), (0, 1))


@EACH
def test_the_longest_pair_is_read_and_a_longer_one_refused(family: str) -> None:
    tokenizer = tokenizer_of(family)
    model = model_of(family, tokenizer)
    longest = longest_input(model)
    assert longest == POSITIONS - (2 if SPECIAL.get(family) else 0)
    check_fit(model, tokenizer, longest)
    with pytest.raises(InvalidRequest, match=f"{longest + 1} is more than the {longest} that"):
        check_fit(model, tokenizer, longest + 1)
    long = Text("long", "", "wing " * 100)
    pairs = PairEncoder(tokenizer, "encoder", longest).encode(QUERY, [long, *DOCUMENTS]).pairs
    assert pairs[0].tokens == longest
    assert np.isfinite(ReferenceEngine(model, "encoder").scores(pairs)).all()


@pytest.mark.parametrize("family", ["modernbert", "mpnet", "deberta-v2"])
def test_any_family_becomes_a_student(tmp_path: Path, family: str) -> None:
    tokenizer = tokenizer_of(family)
    pretrained = tmp_path / "pretrained"
    pretrained.mkdir()
    save(model_of(family, tokenizer), tokenizer, pretrained)
    lists = [RankingList(QUERY, DOCUMENTS, (1.0, 2.0, 3.0, 0.0))] * 2
    options = DistilOptions(steps=2, batch=2, learning_rate=1e-3, max_tokens=62)
    distil(FromPretrained(pretrained, (0, 2)), lists, tmp_path / "student", options)
    values = score_texts(load_ranker(tmp_path / "student"), QUERY, DOCUMENTS).values
    assert values.std() > 0


def test_model_and_tokenizer_of_different_vocabularies_are_refused(tmp_path: Path) -> None:
    model = model_of("bert", tokenizer_of("bert"))
    with new_artefact(
        tmp_path / "mixed", Manifest("encoder", "fp32", 32, Lineage("distil"))
    ) as folder:
        save(model, tokenizer_of("roberta"), folder)
    with pytest.raises(InvalidRequest, match="the tokenizer knows 261 tokens and the model 90"):
        load_ranker(tmp_path / "mixed")


def test_another_way_to_read_pairs_has_another_name() -> None:
    # Scores are kept under the name: whoever changes what is read has to change it too.
    texts = [*DOCUMENTS, Text("long", "wing", "stall " * 60), Text("", "", "")]
    read = [
        pair.ids
        for kind, family in (("encoder", "bert"), ("encoder", "roberta"), ("decoder", "roberta"))
        for query in (QUERY, QUERY * 9)
        for pair in PairEncoder(tokenizer_of(family), kind, 48).encode(query, texts).pairs
    ]
    digest = hashlib.sha256(json.dumps(read).encode()).hexdigest()
    assert (READING, digest[:12]) == ("pairs-2", "d39fd65945e4")
