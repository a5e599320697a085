"""Other numerics are another version: the same weights, another digest, scores near by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ranklift.rankers.agreement import agreement
from ranklift.rankers.artefacts import digest_of, load_ranker, read_manifest
from ranklift.rankers.base import RankingList, Text, score_texts
from ranklift.rankers.convert import convert, measured_agreement
from ranklift.v1.errors import AlreadyExists, InvalidRequest

NEURAL = pytest.mark.parametrize("kind", ["encoder", "decoder"])


@NEURAL
def test_a_converted_version_has_the_weights_and_a_digest_of_its_own(
    artefacts: dict[str, Path], documents: list[Text], tmp_path: Path, kind: str
) -> None:
    source, folder = artefacts[kind], tmp_path / "bf16"
    convert(source, "bf16", folder)
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (source / weights).read_bytes()
    manifest = read_manifest(folder)
    assert (manifest.kind, manifest.numerics, manifest.max_tokens) == (kind, "bf16", 32)
    assert (manifest.lineage.stage, manifest.lineage.parents) == ("convert", (digest_of(source),))
    assert digest_of(folder) != digest_of(source)

    ranker = load_ranker(folder)
    assert ranker.numerics == "bf16"
    exact = score_texts(load_ranker(source), "cbaba ababo", documents).values
    near = score_texts(ranker, "cbaba ababo", documents).values
    assert 1e-6 < np.abs(exact - near).max() < 0.1 * exact.std()


def test_the_same_conversion_twice_has_the_same_digest(
    artefacts: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        convert(artefacts["encoder"], "bf16", tmp_path / name)
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")


def test_what_cannot_be_converted_is_refused_and_nothing_is_left(
    artefacts: dict[str, Path], tmp_path: Path
) -> None:
    for kind in ("bm25", "causal_lm"):
        with pytest.raises(InvalidRequest, match="only encoders and decoders in fp32"):
            convert(artefacts[kind], "bf16", tmp_path / "new")
    with pytest.raises(InvalidRequest, match="is in fp32 already"):
        convert(artefacts["encoder"], "fp32", tmp_path / "new")
    with pytest.raises(InvalidRequest, match='"fp8" must be one of'):
        convert(artefacts["encoder"], "fp8", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    convert(artefacts["encoder"], "bf16", tmp_path / "new")
    with pytest.raises(AlreadyExists):
        convert(artefacts["encoder"], "bf16", tmp_path / "new")
    with pytest.raises(InvalidRequest, match='numerics "bf16"'):
        convert(tmp_path / "new", "bf16", tmp_path / "newer")


def test_two_versions_agree_as_measured_on_lists(
    artefacts: dict[str, Path], held_out: list[RankingList], tmp_path: Path
) -> None:
    convert(artefacts["encoder"], "bf16", tmp_path / "bf16")
    measured = measured_agreement(artefacts["encoder"], tmp_path / "bf16", held_out)
    assert measured.lists == len(held_out)
    assert 0 < measured.max_error < 0.2
    assert 0.6 < measured.lowest_tau < measured.kendall_tau < 1.0


def test_agreement_by_hand() -> None:
    expected = [np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0]), np.array([5.0, 5.0]), np.array([])]
    found = [np.array([3.0, 1.0, 2.5]), np.array([2.0, 1.0]), np.array([5.0, 4.0]), np.array([])]
    measured = agreement(expected, found)
    # (3 2 1) against (3 1 2.5): two pairs in order, one not. The third list has no order.
    assert measured.kendall_tau == pytest.approx((1 / 3 - 1) / 2)
    assert measured.lowest_tau == -1
    assert measured.top_1 == 0.5
    assert measured.max_error == 1.5
    assert measured.lists == 2


def test_agreement_with_ties_is_tau_b_and_scores_all_equal_agree_with_nothing() -> None:
    one, other = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 3.0, 2.0])
    assert agreement([one], [other]).kendall_tau == stats.kendalltau(one, other).statistic
    assert agreement([one], [np.ones(4)]).kendall_tau == 0
    assert np.isnan(agreement([np.ones(4)], [one]).kendall_tau)
