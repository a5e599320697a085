"""The stages of training: what they learn, what they leave, and how they fail."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.artefacts import digest_of, load_ranker, read_manifest
from ranklift.rankers.backbones import Size, first, load_language_model, new_decoder
from ranklift.rankers.base import (
    ClickedText,
    Ranker,
    RankingList,
    Text,
    score_texts,
)
from ranklift.rankers.encoding import PairEncoder, pad
from ranklift.rankers.evaluation import evaluate
from ranklift.rankers.failures import TrainingFailed
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.scores import score_lists
from ranklift.rankers.training.batches import collate_lists, encode_lists, length_buckets
from ranklift.rankers.training.cpt import CptOptions, document_loss, pretrain
from ranklift.rankers.training.distil import (
    DistilOptions,
    FromArtefact,
    FromPretrained,
    FromScratch,
    Start,
    distil,
    standard,
)
from ranklift.rankers.training.sft import SftOptions, finetune
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotReady

DECODER = Size(layers=2, width=64, heads=4, feed_forward=128)
STUDENT = Size(layers=1, width=48, heads=4, feed_forward=96)
CPT = CptOptions(steps=250, batch=48, learning_rate=5e-3, max_tokens=32, seed=5)
SFT = SftOptions(steps=100, batch=16, learning_rate=3e-3, max_tokens=32, seed=5)
DISTIL = DistilOptions(steps=300, batch=24, learning_rate=3e-3, max_tokens=32, seed=5)
BRIEF_CPT = dataclasses.replace(CPT, steps=3)
BRIEF_SFT = dataclasses.replace(SFT, steps=3)
BRIEF = dataclasses.replace(DISTIL, steps=3)


@dataclass(frozen=True)
class Family:
    """A teacher and its student, with the steps on the way."""

    language_model: Path
    teacher: Path
    student: Path
    scored: Sequence[RankingList]
    seen: Sequence[tuple[int, int]]


@pytest.fixture(scope="module")
def family(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    judged: list[RankingList],
    unjudged: list[RankingList],
) -> Family:
    home = tmp_path_factory.mktemp("family")
    seen: list[tuple[int, int]] = []
    model = new_decoder(DECODER, tokenizer, CPT.max_tokens, seed=5)
    pretrain(model, tokenizer, clicks, home / "lm", CPT, progress=lambda *step: seen.append(step))
    finetune(home / "lm", judged, home / "teacher", SFT)
    digest = digest_of(home / "teacher")
    scored = score_lists(load_ranker(home / "teacher"), digest, unjudged, home / "cache").lists
    start = FromScratch(STUDENT, home / "teacher")
    distil(start, scored, home / "student", DISTIL, teacher=digest)
    return Family(home / "lm", home / "teacher", home / "student", scored, seen)


def accuracy(ranker: Ranker[Any], lists: Sequence[RankingList]) -> float:
    return evaluate(ranker, lists, resamples=10).pair_accuracy.value


def test_the_teacher_learns_synonyms_and_the_student_learns_from_the_teacher(
    family: Family, artefacts: dict[str, Path], held_out: list[RankingList]
) -> None:
    baseline = accuracy(load_ranker(artefacts["bm25"]), held_out)
    teacher = accuracy(load_ranker(family.teacher), held_out)
    student = accuracy(load_ranker(family.student), held_out)
    assert teacher > max(0.8, baseline + 0.05)
    assert student > max(0.75, baseline + 0.05)


def test_an_encoder_can_be_the_teacher_too(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    finetune(artefacts["encoder"], judged, tmp_path / "teacher", BRIEF_SFT)
    assert load_ranker(tmp_path / "teacher").kind == "encoder"


def test_without_pre_training_the_teacher_learns_less(
    tmp_path: Path,
    family: Family,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    judged: list[RankingList],
    held_out: list[RankingList],
) -> None:
    # The same decoder, the same fine-tuning; only the clicks are missing.
    model = new_decoder(DECODER, tokenizer, CPT.max_tokens, seed=5)
    one_step = dataclasses.replace(CPT, steps=1, learning_rate=0.0)
    pretrain(model, tokenizer, clicks, tmp_path / "lm", one_step)
    finetune(tmp_path / "lm", judged, tmp_path / "teacher", SFT)
    without = accuracy(load_ranker(tmp_path / "teacher"), held_out)
    assert without < accuracy(load_ranker(family.teacher), held_out) - 0.05


def test_every_stage_says_where_its_artefact_comes_from(family: Family) -> None:
    manifests = [
        read_manifest(each) for each in (family.language_model, family.teacher, family.student)
    ]
    assert [m.kind for m in manifests] == ["causal_lm", "decoder", "encoder"]
    assert [m.lineage.stage for m in manifests] == ["cpt", "sft", "distil"]
    assert [m.lineage.parents for m in manifests] == [
        (),
        (digest_of(family.language_model),),
        (digest_of(family.teacher),),
    ]
    assert all(m.lineage.data.startswith("sha256:") and m.max_tokens == 32 for m in manifests)
    options = manifests[2].lineage.options
    assert (options["steps"], options["alpha"]) == (300, 0.5)
    mean, deviation = standard(family.scored)
    assert (options["teacher_mean"], options["teacher_deviation"]) == (mean, deviation)


def test_progress_counts_every_step(family: Family) -> None:
    assert list(family.seen) == [(done, CPT.steps) for done in range(1, CPT.steps + 1)]


def test_the_same_seed_makes_the_same_weights_and_another_seed_others(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    judged: list[RankingList],
) -> None:
    def digests(name: str, seed: int) -> list[str]:
        home = tmp_path / name
        model = new_decoder(STUDENT, tokenizer, 32, seed=seed)
        pretrain(model, tokenizer, clicks, home / "a", dataclasses.replace(BRIEF_CPT, seed=seed))
        finetune(home / "a", judged, home / "b", dataclasses.replace(BRIEF_SFT, seed=seed))
        start = FromScratch(STUDENT, home / "b")
        distil(start, judged, home / "c", dataclasses.replace(BRIEF, seed=seed))
        return [digest_of(home / stage) for stage in "abc"]

    torch.manual_seed(1)  # whatever the global state is, it must not matter
    one = digests("one", 3)
    torch.manual_seed(2)
    assert digests("again", 3) == one
    assert not set(digests("other", 4)) & set(one)


def test_pre_training_predicts_the_document_and_not_the_query(
    artefacts: dict[str, Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    model = load_language_model(artefacts["causal_lm"])
    encoder = PairEncoder(tokenizer, "decoder", 32)
    document = Text("d", "cbaba", "fbaba fbabo")
    (pair,) = encoder.encode("cbabe ababa", [document]).pairs
    batch = pad([pair])
    with torch.inference_mode():
        logits = model(input_ids=batch.input_ids).logits[0].log_softmax(-1)
        # [BOS] cbabe ababa [SEP] cbaba fbaba fbabo [EOS]: the last four are predicted.
        expected = -np.mean([logits[i - 1, pair.ids[i]].item() for i in range(4, 8)])
        assert document_loss(model, [pair]).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_student_goes_on_from_an_encoder_artefact(
    tmp_path: Path, family: Family, alpha: float
) -> None:
    options = dataclasses.replace(BRIEF, alpha=alpha, learning_rate=1e-4)
    lists = family.scored[:24]
    distil(FromArtefact(family.student), lists, tmp_path / "warm", options, teacher="sha256:t")
    assert read_manifest(tmp_path / "warm").lineage.parents == (
        "sha256:t",
        digest_of(family.student),
    )
    # Three small steps from a trained student are still close to it.
    before, after = (
        score_texts(load_ranker(each), lists[0].query, lists[0].documents).values
        for each in (family.student, tmp_path / "warm")
    )
    assert np.corrcoef(before, after)[0, 1] > 0.99
    assert before.tolist() != after.tolist()


def test_a_pretrained_encoder_becomes_a_student_of_fewer_layers(
    tmp_path: Path, family: Family
) -> None:
    try:
        folder = minilm_folder()
    except NotReady as error:
        pytest.skip(str(error))
    options = dataclasses.replace(BRIEF, steps=1, batch=2, learning_rate=1e-5)
    distil(FromPretrained(folder, first(1)), family.scored[:4], tmp_path / "cut", options)
    ranker = load_ranker(tmp_path / "cut")
    assert ranker.kind == "encoder"
    assert len(score_texts(ranker, "a", [Text("1", "b", "c")]).values) == 1


def test_grades_join_the_loss_when_gamma_asks_for_them(tmp_path: Path, family: Family) -> None:
    lists = family.scored[:24]
    grades = [tuple(range(len(each.documents))) for each in lists]
    start = FromScratch(STUDENT, family.teacher)
    options = dataclasses.replace(BRIEF, gamma=1.0)
    distil(start, lists, tmp_path / "with", options, grades=grades)
    distil(start, lists, tmp_path / "unread", BRIEF, grades=grades)
    distil(start, lists, tmp_path / "without", BRIEF)
    weights = [
        (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("with", "unread", "without")
    ]
    assert weights[0] != weights[1] == weights[2]


def test_interrupted_work_on_grades_is_not_gone_on_with_on_others(
    tmp_path: Path, family: Family
) -> None:
    lists = family.scored[:24]
    start = FromScratch(STUDENT, family.teacher)
    options = dataclasses.replace(BRIEF, gamma=1.0)
    upwards = [tuple(range(len(each.documents))) for each in lists]
    downwards = [tuple(reversed(of)) for of in upwards]

    def give_up(done: int, total: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    kept = tmp_path / "training"
    with pytest.raises(KeyboardInterrupt):
        distil(
            start,
            lists,
            tmp_path / "given up",
            options,
            grades=upwards,
            progress=give_up,
            checkpoints=kept,
        )
    assert len(list(kept.iterdir())) == 1
    distil(start, lists, tmp_path / "after", options, grades=downwards, checkpoints=kept)
    distil(start, lists, tmp_path / "alone", options, grades=downwards)
    after, alone = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("after", "alone")
    )
    assert after == alone
    said = [read_manifest(tmp_path / name).lineage for name in ("after", "alone")]
    assert said[0] == said[1]
    assert str(said[0].options["grades"]).startswith("sha256:")


def test_a_loss_that_is_not_finite_stops_the_training(
    tmp_path: Path, family: Family, judged: list[RankingList]
) -> None:
    steep = dataclasses.replace(BRIEF, steps=30, learning_rate=1e30)
    start = FromScratch(STUDENT, family.teacher)
    with pytest.raises(TrainingFailed, match=r"the loss is .* lower the learning rate of 1e\+30"):
        distil(start, family.scored[:24], tmp_path / "steep", steep)
    assert list(tmp_path.iterdir()) == []


def test_lists_in_which_there_is_nothing_to_order_accuse_no_model(
    tmp_path: Path, family: Family
) -> None:
    one = [
        dataclasses.replace(each, documents=each.documents[:1], targets=each.targets[:1])
        for each in family.scored[:6]
    ]
    options = dataclasses.replace(BRIEF, loss="point_mse")
    start = FromScratch(STUDENT, family.teacher)
    distil(start, [*one, *family.scored[6:24]], tmp_path / "some", options)
    distil(start, one, tmp_path / "all", options)


def test_a_model_that_scores_all_documents_the_same_is_refused(
    tmp_path: Path, artefacts: dict[str, Path], judged: list[RankingList]
) -> None:
    frozen = dataclasses.replace(SFT, steps=1, learning_rate=0.0)
    same = Text("d", "never seen", "")
    # Unknown words alone: the untrained model cannot tell these documents apart.
    lists = [RankingList("q", (same, dataclasses.replace(same, id="e")), (1.0, 0.0))]
    with pytest.raises(TrainingFailed, match="the same score"):
        finetune(artefacts["causal_lm"], lists, tmp_path / "teacher", frozen)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_learnt_from_is_refused(
    tmp_path: Path, family: Family, judged: list[RankingList], tokenizer: PreTrainedTokenizerBase
) -> None:
    one = judged[0]
    scratch = FromScratch(STUDENT, family.teacher)
    model = new_decoder(STUDENT, tokenizer, 32, seed=0)
    out = tmp_path / "out"
    with pytest.raises(InvalidRequest, match="clicks"):
        pretrain(model, tokenizer, [], out, CPT)
    with pytest.raises(InvalidRequest, match="no list has two documents of different grades"):
        finetune(family.language_model, [dataclasses.replace(one, targets=(1.0,) * 6)], out, SFT)
    with pytest.raises(InvalidRequest, match=r"lists\[1\]\.targets: must be one finite number"):
        finetune(family.language_model, [one, dataclasses.replace(one, targets=(1.0,))], out, SFT)
    genfr = dataclasses.replace(SFT, head="genfr", labels=2)
    with pytest.raises(InvalidRequest, match="tau: 1 must be less than 1: scores of 2 labels"):
        finetune(family.language_model, [one], out, genfr)
    with pytest.raises(InvalidRequest, match='loss: "lambda" must be one of hybrid, point_mse'):
        distil(scratch, [one], out, dataclasses.replace(DISTIL, loss="lambda"))
    with pytest.raises(InvalidRequest, match="scores are all the same"):
        distil(scratch, [dataclasses.replace(one, targets=(1.0,) * 6)], out, DISTIL)
    with pytest.raises(InvalidRequest, match=r"alpha: 1.5 must be in \[0, 1\]"):
        distil(scratch, [one], out, dataclasses.replace(DISTIL, alpha=1.5))
    with pytest.raises(InvalidRequest, match="give grades, or gamma 0"):
        distil(scratch, [one], out, dataclasses.replace(DISTIL, gamma=1.0))
    with pytest.raises(InvalidRequest, match="1 lists of grades for 2 lists"):
        distil(
            scratch, [one, one], out, dataclasses.replace(DISTIL, gamma=1.0), grades=[(1.0,) * 6]
        )
    decoder: Start = FromArtefact(family.teacher)
    with pytest.raises(InvalidRequest, match='kind "decoder", a student starts from an encoder'):
        distil(decoder, [one], out, DISTIL)
    too_long = dataclasses.replace(DISTIL, max_tokens=33)
    with pytest.raises(InvalidRequest, match="33 is more than the 32"):
        distil(FromArtefact(family.student), [one], out, too_long)


def test_a_folder_that_is_taken_is_refused_before_any_work(
    family: Family,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    judged: list[RankingList],
) -> None:
    def worked(done: int, total: int) -> None:
        pytest.fail("took a step")

    model = new_decoder(STUDENT, tokenizer, 32, seed=0)
    start = FromArtefact(family.student)
    with pytest.raises(AlreadyExists):
        pretrain(model, tokenizer, clicks, family.student, BRIEF_CPT, progress=worked)
    with pytest.raises(AlreadyExists):
        finetune(family.language_model, judged, family.teacher, BRIEF_SFT, progress=worked)
    with pytest.raises(AlreadyExists):
        distil(start, judged, family.student, BRIEF, progress=worked)


def test_a_batch_of_lists_keeps_every_document_in_its_place(
    tokenizer: PreTrainedTokenizerBase, judged: list[RankingList]
) -> None:
    encoder = PairEncoder(tokenizer, "encoder", 32)
    short = RankingList(judged[1].query, judged[1].documents[:2], judged[1].targets[:2])
    batch = collate_lists(encode_lists(encoder, [judged[0], short]))
    assert batch.mask.sum(1).tolist() == [6, 2]
    assert batch.targets[0].tolist() == list(judged[0].targets)
    assert batch.targets[1, :2].tolist() == list(short.targets)
    assert len(batch.pairs) == 8
    assert batch.pairs[7:] == encoder.encode(short.query, short.documents[1:]).pairs


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 20))
def test_batches_show_every_example_once_before_any_again(
    lengths: Sequence[int], batch: int
) -> None:
    size = min(batch, len(lengths))
    # Whole windows: in one that is cut off, the order is by chance.
    window = min(8, len(lengths) // size)
    steps = window * math.ceil(2 * len(lengths) / size)
    found = length_buckets(lengths, batch, steps, seed=1)
    assert {len(each) for each in found} == {size}
    counts = np.bincount([i for each in found for i in each], minlength=len(lengths))
    # The last window may have begun one more round than it ended.
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("count", "batch"), [(16, 16), (8, 4), (64, 16), (96, 16), (640, 16)])
def test_no_batch_holds_an_example_twice_where_rounds_come_out_even(count: int, batch: int) -> None:
    lengths = np.random.default_rng(4).integers(1, 200, size=count).tolist()
    found = length_buckets(lengths, batch, 3 * count // batch, seed=2)
    assert all(len(set(each)) == batch for each in found)
    each_round = count // batch
    for start in range(0, len(found), each_round):
        shown = sorted(i for one in found[start : start + each_round] for i in one)
        assert shown == list(range(count))


def test_batches_hold_texts_of_like_length_in_random_order() -> None:
    lengths = np.random.default_rng(3).integers(1, 200, size=640).tolist()
    found = length_buckets(lengths, 16, 40, seed=2)
    padding = 1 - sum(map(sum, ([lengths[i] for i in b] for b in found))) / sum(
        16 * max(lengths[i] for i in b) for b in found
    )
    assert padding < 0.15  # random batches waste nearly half
    widths = [max(lengths[i] for i in b) for b in found[:8]]
    assert widths != sorted(widths)
