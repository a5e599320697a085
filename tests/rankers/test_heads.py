"""Heads: what logits mean, what a GenFR head begins with, and that others read it alike."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import (
    Size,
    load_language_model,
    load_scorer,
    new_decoder,
    new_encoder,
    seeded,
)
from ranklift.rankers.base import RankingList, Text, score_texts
from ranklift.rankers.convert import convert, measured_agreement
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.heads import label_tokens, load_with_head, score_of_logits
from ranklift.rankers.losses import margin_ranking
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.rankers.training.batches import collate_lists, encode_lists, list_scores
from ranklift.v1.errors import InvalidRequest

LABELS = 4
MAX_TOKENS = 32
SMALL = Size(layers=2, width=32, heads=2, feed_forward=64)
QUERY = "cbaba ababo"


def test_one_logit_is_the_score() -> None:
    assert score_of_logits(torch.tensor([[1.5], [-30.0]])).tolist() == [1.5, -30.0]


def test_several_logits_are_the_expected_label() -> None:
    # 1 : 2 : 1, then 1 : 0 : 3 in the limit, then nothing known.
    logits = torch.tensor([[0, log(2), 0], [0, -1e4, log(3)], [7, 7, 7]])
    assert score_of_logits(logits).tolist() == pytest.approx([1.0, 1.5, 1.0])


def test_the_score_of_two_labels_is_the_chance_of_the_second() -> None:
    logits = torch.tensor([[0.3, 1.7], [-2.0, 5.0]])
    expected = (logits[:, 1] - logits[:, 0]).sigmoid()
    torch.testing.assert_close(score_of_logits(logits), expected)


def test_a_labels_logit_pulls_by_its_chance_and_its_distance_from_the_score() -> None:
    logits = torch.tensor([[0.2, -1.0, 0.7, 0.1]], requires_grad=True)
    score = score_of_logits(logits)
    (gradient,) = torch.autograd.grad(score.sum(), logits)
    chances = logits.detach().softmax(1)
    torch.testing.assert_close(gradient, chances * (torch.arange(4) - score.detach()))


def test_scores_are_fp32_whatever_the_logits_are_computed_in() -> None:
    logits = torch.randn((50, LABELS), generator=torch.Generator().manual_seed(1)).bfloat16()
    expected = score_of_logits(logits.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = score_of_logits(logits)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.fixture(scope="module")
def counting(judged: list[RankingList]) -> PreTrainedTokenizerBase:
    """A tokenizer that knows the words of the small world, and the numbers 0 to 3."""
    texts = [f"{each.query} {text.body} 3 1 0 2" for each in judged for text in each.documents]
    return train_tokenizer(texts, 500)


@pytest.fixture(scope="module", params=["tied", "untied"])
def language_model(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    counting: PreTrainedTokenizerBase,
) -> Path:
    folder = tmp_path_factory.mktemp("heads") / "language_model"
    model = new_decoder(SMALL, counting, MAX_TOKENS, seed=4)
    if request.param == "untied":
        with seeded(5):
            model = LlamaForCausalLM(
                LlamaConfig(**(model.config.to_dict() | {"tie_word_embeddings": False}))
            )
    write(spread(model), counting, "causal_lm", folder)
    return folder


def write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: str, folder: Path
) -> None:
    with new_artefact(folder, Manifest(kind, "fp32", MAX_TOKENS, Lineage("sft"))) as temporary:
        save(model, tokenizer, temporary)


def spread(model: PreTrainedModel) -> PreTrainedModel:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return model


@pytest.fixture(scope="module")
def teacher(
    language_model: Path,
    counting: PreTrainedTokenizerBase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("heads") / "teacher"
    model = load_with_head(language_model, counting, "genfr", labels=LABELS, seed=6)
    write(model, counting, "decoder", folder)
    return folder


def test_a_new_head_scores_by_the_numbers_that_the_language_model_would_write_next(
    language_model: Path, teacher: Path, counting: PreTrainedTokenizerBase, documents: list[Text]
) -> None:
    writer = AutoModelForCausalLM.from_pretrained(language_model)
    words = [counting.get_vocab()[each] for each in "0123"]
    expected = []
    for pair in PairEncoder(counting, "decoder", MAX_TOKENS).encode(QUERY, documents).pairs:
        with torch.inference_mode():
            following = writer(input_ids=torch.tensor([pair.ids])).logits[0, -1, words]
        expected.append((following.softmax(0) * torch.arange(LABELS)).sum().item())
    found = score_texts(load_ranker(teacher), QUERY, documents).values
    assert found.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_plain_transformers_reads_a_genfr_teacher_and_expects_the_same_label(
    teacher: Path, documents: list[Text]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(teacher)
    assert model.config.id2label == {0: "0", 1: "1", 2: "2", 3: "3"}
    encoder = PairEncoder(load_tokenizer(teacher), "decoder", MAX_TOKENS)
    expected = []
    for pair in encoder.encode(QUERY, documents).pairs:
        with torch.inference_mode():
            chances = model(input_ids=torch.tensor([pair.ids])).logits.softmax(1)[0]
        expected.append(sum(k * chances[k].item() for k in range(LABELS)))
    found = score_texts(load_ranker(teacher), QUERY, documents).values
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_genfr_teacher_is_served_in_bf16_nearly_alike(
    teacher: Path, judged: list[RankingList], tmp_path: Path
) -> None:
    convert(teacher, "bf16", tmp_path / "bf16")
    agreement = measured_agreement(teacher, tmp_path / "bf16", judged[:20])
    assert agreement.max_error < 0.05
    assert agreement.kendall_tau > 0.9


def test_a_head_that_is_there_is_kept(teacher: Path, counting: PreTrainedTokenizerBase) -> None:
    model = load_scorer(teacher)
    with torch.no_grad():
        model.get_parameter("score.weight").add_(1)
    again = teacher.parent / "again"
    write(model, counting, "decoder", again)
    kept = load_with_head(again, counting, "genfr", labels=LABELS, seed=0)
    assert torch.equal(kept.get_parameter("score.weight"), model.get_parameter("score.weight"))
    with pytest.raises(InvalidRequest, match="has num_labels 4, must be 3"):
        load_with_head(again, counting, "genfr", labels=3, seed=0)
    with pytest.raises(InvalidRequest, match="has num_labels 4, must be 1"):
        load_with_head(again, counting, "scalar", labels=4, seed=0)


def test_a_scalar_head_is_the_scorers_own(
    language_model: Path, counting: PreTrainedTokenizerBase
) -> None:
    model = load_with_head(language_model, counting, "scalar", labels=LABELS, seed=3)
    expected = load_scorer(language_model, head_seed=3)
    assert torch.equal(model.get_parameter("score.weight"), expected.get_parameter("score.weight"))


def test_without_any_number_in_the_vocabulary_the_rows_are_random_and_the_log_says_so(
    artefacts: dict[str, Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    assert label_tokens(tokenizer, LABELS) == ()
    with capture_logs() as logs:
        model, same, other = (
            load_with_head(artefacts["causal_lm"], tokenizer, "genfr", labels=LABELS, seed=seed)
            for seed in (1, 1, 2)
        )
    assert {each["event"] for each in logs} == {"the genfr head begins at random"}
    rows = model.get_parameter("score.weight")
    assert rows.shape == (LABELS, SMALL.width)
    assert rows.std() > 1e-3
    assert torch.equal(rows, same.get_parameter("score.weight"))
    assert not torch.equal(rows, other.get_parameter("score.weight"))


def test_what_cannot_have_a_genfr_head_is_refused(
    language_model: Path,
    artefacts: dict[str, Path],
    counting: PreTrainedTokenizerBase,
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidRequest, match="labels: 1 must be at least 2"):
        load_with_head(language_model, counting, "genfr", labels=1, seed=0)
    with pytest.raises(InvalidRequest, match='of the 5 labels the tokenizer has no token for "4"'):
        load_with_head(language_model, counting, "genfr", labels=5, seed=0)
    with pytest.raises(InvalidRequest, match="has num_labels 1, must be 4"):
        load_with_head(artefacts["encoder"], counting, "genfr", labels=LABELS, seed=0)
    encoder: Any = new_encoder(SMALL, counting, MAX_TOKENS, seed=1)
    encoder.base_model.save_pretrained(tmp_path / "headless")
    with pytest.raises(InvalidRequest, match=r'is no decoder; .* choose "scalar"'):
        load_with_head(tmp_path / "headless", counting, "genfr", labels=LABELS, seed=0)
    with pytest.raises(InvalidRequest, match="holds no model that can be read"):
        load_with_head(artefacts["bm25"], counting, "genfr", labels=LABELS, seed=0)


def test_a_decoder_that_writes_no_words_is_no_language_model(
    language_model: Path, counting: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    whole: Any = load_language_model(language_model)
    whole.base_model.save_pretrained(tmp_path / "body")
    if whole.config.tie_word_embeddings:  # the words come back from the embeddings
        load_language_model(tmp_path / "body")
        return
    with pytest.raises(InvalidRequest, match=r"holds no language model: no lm_head\.weight"):
        load_with_head(tmp_path / "body", counting, "genfr", labels=LABELS, seed=0)


def test_the_margin_loss_teaches_expected_labels_an_order(
    teacher: Path, counting: PreTrainedTokenizerBase, judged: list[RankingList]
) -> None:
    model = load_scorer(teacher)
    batch = collate_lists(encode_lists(PairEncoder(counting, "decoder", MAX_TOKENS), judged[:4]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def loss() -> torch.Tensor:
        return margin_ranking(list_scores(model, "decoder", batch), batch.targets, batch.mask)

    before = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert before > 0.5
    assert loss().item() < 0.1
