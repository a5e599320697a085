"""Several teachers as one, whatever scale each of them has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.scores import Member, ensemble_digest, scale_of, score_ensemble, weighted_mean
from ranklift.v1.errors import InvalidRequest


def test_a_weighted_mean_by_hand() -> None:
    # (1 3): mean 2, deviation 1 -> (-1 1). (0 20): 10 and 10 -> (-1 1), turned round (1 -1).
    one, other = np.array([1.0, 3.0]), np.array([20.0, 0.0])
    scales = (scale_of("a", 3.0, one), scale_of("b", 1.0, other))
    assert [(s.mean, s.deviation) for s in scales] == [(2.0, 1.0), (10.0, 10.0)]
    assert weighted_mean(scales, (one, other)).tolist() == [-0.5, 0.5]
    # One member alone is itself, standardised.
    assert weighted_mean(scales[1:], (other,)).tolist() == [1.0, -1.0]


def test_an_ensemble_of_all_kinds(
    tmp_path: Path, artefacts: dict[str, Path], unjudged: list[RankingList]
) -> None:
    members = [
        Member(load_ranker(artefacts[kind]), digest_of(artefacts[kind]), weight)
        for kind, weight in (("bm25", 1.0), ("decoder", 2.0), ("encoder", 1.0))
    ]
    seen: list[tuple[int, int]] = []
    lists = unjudged[:30]
    scored = score_ensemble(members, lists, tmp_path, progress=lambda *counts: seen.append(counts))
    assert (scored.computed, scored.found) == (3 * 180, 0)
    assert seen[-1] == (90, 90)
    targets = np.array([each.targets for each in scored.lists])
    assert targets.mean() == pytest.approx(0, abs=1e-9)
    assert [each.documents for each in scored.lists] == [each.documents for each in lists]
    # Other weights, other scores, and another name; but nothing is computed.
    heavy = [Member(each.ranker, each.digest, 5.0 if i else 1.0) for i, each in enumerate(members)]
    other = score_ensemble(heavy, lists, tmp_path)
    assert (other.computed, other.found) == (0, 3 * 180)
    assert other.digest != scored.digest
    assert other.lists != scored.lists
    # Scales are on disk beside the scores, under the ensemble's name.
    (kept,) = (tmp_path / scored.digest.replace(":", "-")).glob("*.json")
    written = json.loads(kept.read_text())["members"]
    assert [(m["mean"], m["deviation"]) for m in written] == [
        (scale.mean, scale.deviation) for scale in scored.scales
    ]


def test_the_digest_names_members_and_shares_in_any_order() -> None:
    digest = ensemble_digest([("sha256:a", 1.0), ("sha256:b", 3.0)])
    assert digest.startswith("sha256:")
    assert len(digest) == len("sha256:") + 64
    assert ensemble_digest([("sha256:b", 6.0), ("sha256:a", 2.0)]) == digest
    assert ensemble_digest([("sha256:a", 3.0), ("sha256:b", 1.0)]) != digest
    assert ensemble_digest([("sha256:a", 1.0), ("sha256:c", 3.0)]) != digest
    assert ensemble_digest([("sha256:a", 1.0)]) != "sha256:a"


def test_what_is_no_ensemble_is_refused(tmp_path: Path, artefacts: dict[str, Path]) -> None:
    bm25 = load_ranker(artefacts["bm25"])
    lists = [RankingList("cbaba", (Text("1", "cbaba", ""), Text("2", "fbaba", "")), (0.0, 0.0))]
    with pytest.raises(InvalidRequest, match="members: is empty"):
        score_ensemble([], lists, tmp_path)
    with pytest.raises(InvalidRequest, match=r"members\[1\]: sha256:a is there already"):
        score_ensemble([Member(bm25, "sha256:a")] * 2, lists, tmp_path)
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(
            InvalidRequest, match=r"members\[0\].weight: is .*, must be more than 0"
        ):
            score_ensemble([Member(bm25, "sha256:a", weight)], lists, tmp_path)
    assert list(tmp_path.iterdir()) == []
    same = [RankingList("unknown words", lists[0].documents, (0.0, 0.0))]
    with pytest.raises(InvalidRequest, match="scores of sha256:a are all the same"):
        score_ensemble([Member(bm25, "sha256:a")], same, tmp_path)


@pytest.mark.parametrize("constant", [0.1, 0.3, -2.7, 1e6, 0.0])
def test_a_teacher_that_says_the_same_of_all_is_found_out_whatever_it_says(constant: float) -> None:
    # numpy's mean of a thousand 0.1 is not 0.1: their deviation is not 0 either.
    with pytest.raises(InvalidRequest, match="all the same"):
        scale_of("sha256:a", 1.0, np.full(1_000, constant))
    assert scale_of("sha256:a", 1.0, constant + np.linspace(0.0, 0.1, 9)).deviation > 0
