"""Teachers' scores: computed once, whatever happens in between, and always the same."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.base import Encoded, RankingList, Text, Values, score_texts
from ranklift.rankers.convert import convert
from ranklift.rankers.encoding import READING, Pair, chunks
from ranklift.rankers.engines.reference import CHUNK_TOKENS
from ranklift.rankers.scores import scoring
from ranklift.rankers.scores.scoring import score_lists

Start = Callable[[str, Path, Path, Path], "subprocess.Popen[str]"]

IN_THE_THIRD_CHUNK = """
computed, scores = [], teacher.scores
def stopping(pairs):
    computed.append(pairs)
    if len(computed) == 3:
        wait()
    return scores(pairs)
teacher.scores = stopping
"""
WHILE_A_FILE_IS_WRITTEN = """
renamed, rename = [], Path.rename
def stopping(path, target):
    renamed.append(path)
    if len(renamed) == 2:
        wait()
    return rename(path, target)
Path.rename = stopping
"""
BEFORE_THE_OLD_FILES_GO = """
unlink = Path.unlink
def stopping(path, *arguments):
    wait()
Path.unlink = stopping
"""


class Counting:
    """A teacher that likes long texts and counts what it reads."""

    kind = "decoder"
    numerics = "fp32"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[Pair]:
        return Encoded(tuple(Pair((0,) * len(each.body), 0) for each in documents))

    def scores(self, pairs: Sequence[Pair]) -> Values:
        self.calls.append(len(pairs))
        return np.array([float(pair.tokens) for pair in pairs])

    @property
    def pairs(self) -> int:
        return sum(self.calls)


def only_file(cache: Path) -> Path:
    (file,) = cache.rglob("*.parquet")
    return file


def test_the_second_scoring_computes_nothing(tmp_path: Path, unjudged: list[RankingList]) -> None:
    teacher = Counting()
    lists = unjudged[:20]
    pairs = sum(len(each.documents) for each in lists)
    cold = score_lists(teacher, "sha256:a", lists, tmp_path)
    assert (cold.computed, cold.found, cold.hit_rate) == (pairs, 0, 0.0)
    assert cold.lists[3].targets == tuple(float(len(d.body)) for d in lists[3].documents)
    warm = score_lists(teacher, "sha256:a", lists, tmp_path)
    assert (warm.computed, warm.found, warm.hit_rate) == (0, pairs, 1.0)
    assert teacher.pairs == pairs
    assert warm.lists == cold.lists
    # Another teacher, or another text, is not in the cache; another id is.
    assert score_lists(teacher, "sha256:b", lists, tmp_path).computed == pairs
    one = lists[0]
    changed = [dataclasses.replace(d, text=d.text + " more") for d in one.documents[:1]]
    renamed = [dataclasses.replace(d, id=d.id + "x") for d in one.documents[1:]]
    edited = RankingList(one.query, (*changed, *renamed), one.targets)
    assert score_lists(teacher, "sha256:a", [edited], tmp_path).computed == 1


def test_a_pair_that_comes_again_is_computed_once(
    tmp_path: Path, unjudged: list[RankingList]
) -> None:
    teacher = Counting()
    one, two = unjudged[:2]
    scored = score_lists(teacher, "sha256:a", [one, two, one], tmp_path)
    assert (teacher.pairs, scored.computed, scored.found) == (12, 12, 6)
    assert scored.lists[0] == scored.lists[2] != scored.lists[1]
    empty = RankingList("nothing found", (), ())
    assert score_lists(teacher, "sha256:a", [empty, one], tmp_path).lists[0] == empty
    assert score_lists(teacher, "sha256:a", [], tmp_path).hit_rate == 1.0


def test_pairs_of_many_lists_are_scored_together_and_progress_counts_lists(
    tmp_path: Path, unjudged: list[RankingList], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_PAIRS", 20)
    teacher = Counting()
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    score_lists(teacher, "sha256:a", unjudged[:10], tmp_path, progress=progress)
    assert teacher.calls == [20, 20, 20]
    assert seen == [(3, 10), (6, 10), (10, 10), (10, 10)]


def test_long_and_short_lists_together_leave_little_padding(
    tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    # Lengths as in collections: log-normal, a median of 40 tokens, one in 50 cut at 180.
    rng = np.random.default_rng(5)
    lengths = np.clip(rng.lognormal(np.log(40), 0.7, size=(200, 20)), 8, 180).astype(int)

    def padding(groups: Sequence[Sequence[int]]) -> float:
        read, padded = 0, 0
        for group in groups:
            for chunk in chunks(group, CHUNK_TOKENS):
                read += sum(group[i] for i in chunk)
                padded += len(chunk) * max(group[i] for i in chunk)
        return 1 - read / padded

    flat = lengths.ravel()
    together = [flat[i : i + scoring.CHUNK_PAIRS].tolist() for i in range(0, 4_000, 1_024)]
    assert padding(lengths.tolist()) > 0.15  # list by list
    assert padding(together) < 0.06


def test_scores_are_the_teachers_own_to_rounding(
    tmp_path: Path, artefacts: dict[str, Path], unjudged: list[RankingList]
) -> None:
    for kind in ("bm25", "decoder", "encoder"):
        teacher = load_ranker(artefacts[kind])
        scored = score_lists(teacher, digest_of(artefacts[kind]), unjudged[:40], tmp_path)
        for ranking in scored.lists:
            alone = score_texts(teacher, ranking.query, ranking.documents).values
            np.testing.assert_allclose(ranking.targets, alone, atol=1e-5)


def test_numerics_and_template_are_part_of_where_scores_are_kept(
    tmp_path: Path,
    artefacts: dict[str, Path],
    unjudged: list[RankingList],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    convert(artefacts["decoder"], "bf16", tmp_path / "bf16")
    cache, lists = tmp_path / "cache", unjudged[:10]
    exact, coarse = (
        score_lists(load_ranker(folder), digest_of(folder), lists, cache)
        for folder in (artefacts["decoder"], tmp_path / "bf16")
    )
    assert exact.computed == coarse.computed == 60
    off = np.array(exact.lists[0].targets) - np.array(coarse.lists[0].targets)
    assert 1e-6 < np.abs(off).max() < 0.1
    # Tokens made another way are another teacher's.
    assert sorted(path.name.rsplit("-", 2)[1] for path in cache.iterdir()) == ["pairs", "pairs"]
    monkeypatch.setattr(scoring, "READING", f"{READING}x")
    teacher = load_ranker(artefacts["decoder"])
    assert score_lists(teacher, digest_of(artefacts["decoder"]), lists, cache).computed == 60


@pytest.mark.parametrize(
    ("kind", "fault", "left"),
    [
        ("decoder", IN_THE_THIRD_CHUNK, 600 - 2 * 64),
        ("encoder", IN_THE_THIRD_CHUNK, 600 - 2 * 64),
        ("decoder", WHILE_A_FILE_IS_WRITTEN, 600 - 64),
        ("decoder", BEFORE_THE_OLD_FILES_GO, 0),
    ],
    ids=["decoder-chunk", "encoder-chunk", "file", "merge"],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_file(
    tmp_path: Path,
    artefacts: dict[str, Path],
    unjudged: list[RankingList],
    start_scoring: Start,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fault: str,
    left: int,
) -> None:
    lists = tmp_path / "lists"
    lists.write_bytes(pickle.dumps(unjudged[:100]))
    process = start_scoring(fault, artefacts[kind], lists, tmp_path / "killed")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    monkeypatch.setattr(scoring, "CHUNK_PAIRS", 64)
    teacher = load_ranker(artefacts[kind])
    resumed = score_lists(teacher, "sha256:teacher", unjudged[:100], tmp_path / "killed")
    assert (resumed.computed, resumed.found) == (left, 600 - left)
    unbroken = score_lists(teacher, "sha256:teacher", unjudged[:100], tmp_path / "unbroken")
    assert unbroken.computed == 600
    assert resumed.lists == unbroken.lists
    one, other = only_file(tmp_path / "killed"), only_file(tmp_path / "unbroken")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
    assert list(tmp_path.rglob("*.partial")) == []


def test_two_processes_share_a_cache(
    tmp_path: Path,
    artefacts: dict[str, Path],
    unjudged: list[RankingList],
    start_scoring: Start,
) -> None:
    cache, lists = tmp_path / "cache", [tmp_path / "one", tmp_path / "two"]
    # 20 lists of each are the other's too.
    lists[0].write_bytes(pickle.dumps(unjudged[:60]))
    lists[1].write_bytes(pickle.dumps(unjudged[40:100]))
    processes = [start_scoring("", artefacts["decoder"], each, cache) for each in lists]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    rows = pl.read_parquet(only_file(cache))
    assert rows.height == rows["pair"].n_unique() == 600
    assert rows["pair"].is_sorted()
    teacher = load_ranker(artefacts["decoder"])
    assert score_lists(teacher, "sha256:teacher", unjudged[:100], cache).computed == 0


def test_a_damaged_file_is_said_set_aside_and_scored_again(
    tmp_path: Path, unjudged: list[RankingList], capsys: pytest.CaptureFixture[str]
) -> None:
    lists = unjudged[:20]
    cold = score_lists(Counting(), "sha256:a", lists, tmp_path)
    file = only_file(tmp_path)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 1
    for damaged in (whole[:-100], b"", bytes(flipped)):
        file.write_bytes(damaged)
        capsys.readouterr()
        again = score_lists(Counting(), "sha256:a", lists, tmp_path)
        assert again.damaged == (file.name,)
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 1
        assert "damaged and set aside; its pairs are scored again" in said[0]
        assert again.computed == 120
        assert again.lists == cold.lists
        assert only_file(tmp_path).read_bytes() == whole
    assert score_lists(Counting(), "sha256:a", lists, tmp_path).damaged == ()


def test_a_score_that_is_not_finite_is_not_kept(
    tmp_path: Path, unjudged: list[RankingList], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_PAIRS", 60)

    class Broken(Counting):
        def scores(self, pairs: Sequence[Pair]) -> Values:
            values = super().scores(pairs)
            if len(self.calls) == 2:
                values[7] = np.nan
            return values

    with pytest.raises(ArithmeticError, match="1 of 60 documents are not finite"):
        score_lists(Broken(), "sha256:a", unjudged[:20], tmp_path)
    assert score_lists(Counting(), "sha256:a", unjudged[:20], tmp_path).found == 60
