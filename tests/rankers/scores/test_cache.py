"""The files of a cache: whatever way scores came in, the same scores are the same file."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.scores.cache import ScoreCache


def keys(numbers: list[int]) -> pl.Series:
    digests = [hashlib.sha256(bytes([number])).digest() for number in numbers]
    return pl.Series("pair", digests, dtype=pl.Binary)


def score(numbers: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([number / 7 for number in numbers], np.float64)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_the_same_scores_are_the_same_file(parts: list[list[int]], merges: set[int]) -> None:
    everything = sorted({number for part in parts for number in part})
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        piecewise, at_once = ScoreCache(Path(one)), ScoreCache(Path(other))
        for i, part in enumerate(parts):
            piecewise.keep(keys(part), score(part))
            if i in merges:
                piecewise.merge()
        found = dict(piecewise.find(keys([*everything, 99])).iter_rows())
        assert found == dict(zip(keys(everything), score(everything).tolist(), strict=True))
        piecewise.merge()
        if everything:
            at_once.keep(keys(everything), score(everything))
        files = [{f.name: f.read_bytes() for f in Path(x).glob("*.parquet")} for x in (one, other)]
        assert files[0] == files[1]
        assert len(files[0]) == min(1, len(everything))


def test_of_a_pair_that_two_processes_scored_one_score_stays(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.keep(keys(list(range(1, 60))), np.zeros(59))
    cache.keep(keys([1, 2]), np.ones(2))
    assert cache.find(keys([1, 2, 3]))["score"].to_list() == [0, 0, 0]
    cache.merge()
    assert cache.find(keys([1, 2, 3]))["score"].to_list() == [0, 0, 0]
    (file,) = tmp_path.glob("*.parquet")
    assert pl.read_parquet(file).height == 59


def test_nothing_is_made_by_asking(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "none")
    assert cache.find(keys([1])).is_empty()
    cache.merge()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_was_writing_is_swept_up(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.keep(keys([1]), np.zeros(1))
    (tmp_path / "half.partial").write_bytes(b"PAR1")
    assert ScoreCache(tmp_path).find(keys([1])).height == 1
    cache.merge()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".parquet"]


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    ScoreCache(tmp_path).keep(keys([1]), np.zeros(1))
    (file,) = tmp_path.glob("*.parquet")
    file.rename(tmp_path / "other.parquet")
    cache = ScoreCache(tmp_path)
    assert cache.find(keys([1])).is_empty()
    assert cache.damaged == ["other.parquet"]
    assert (tmp_path / "other.damaged").is_file()


@pytest.mark.parametrize("rows", [1, 250_000])
def test_a_large_file_is_written_in_groups_and_searched_whole(tmp_path: Path, rows: int) -> None:
    digests = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(rows)]
    pairs = pl.Series("pair", digests, dtype=pl.Binary)
    cache = ScoreCache(tmp_path)
    cache.keep(pairs, np.arange(rows, dtype=np.float64))
    some = pairs.gather_every(max(1, rows // 9))
    assert cache.find(some).join(some.to_frame(), on="pair").height == len(some)
