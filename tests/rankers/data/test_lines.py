"""Lines as they lie in a file, compressed or not, and everything wrong with them at once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.data.lines import checked
from ranklift.v1.errors import MAX_VIOLATIONS, InvalidRequest, NotFound

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")).filter(
    lambda text: text.strip()
)


def read(path: Path) -> list[tuple[int, str]]:
    with checked(path) as lines:
        return list(lines)


@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1), compressed=st.booleans())
def test_a_line_ends_at_a_line_feed_and_nowhere_else(
    texts: list[str], compressed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file.tsv"
    content = "\n".join(texts).encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    expected = [text.rstrip("\r") for text in texts]
    expected[0] = expected[0].removeprefix("\ufeff")
    assert [text for _, text in read(path)] == [text for text in expected if text.strip()]


def test_blank_lines_count_and_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n  \ntwo\n")
    assert read(path) == [(1, "one"), (4, "two")]


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good\n\xff\ngood\n\xfe\n")
    with pytest.raises(InvalidRequest) as raised:
        read(path)
    assert [v.field for v in raised.value.violations] == [f"{path}:2", f"{path}:4"]
    assert "not UTF-8" in str(raised.value)


def test_a_file_of_faults_is_left_early(tmp_path: Path) -> None:
    path = tmp_path / "file"
    # Half of a gzip file: whoever reads to its end finds another fault there.
    whole = gzip.compress(b"\xff\n" * 100_000)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidRequest) as raised:
        read(path)
    assert len(raised.value.violations) == MAX_VIOLATIONS + 1
    assert raised.value.violations[-1].description == "and more"


def test_an_error_of_the_reader_is_not_hidden_by_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one\n")

    def fail() -> None:
        with checked(path) as lines:
            lines.wrong(1, "is odd")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_no_file_an_empty_one_and_half_of_one_are_each_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read(tmp_path / "none")
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(InvalidRequest, match="empty: holds nothing"):
        read(tmp_path / "empty")
    whole = gzip.compress(b"a line\n" * 1_000)
    (tmp_path / "half.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidRequest, match=r"half.gz: is broken as a gzip file"):
        read(tmp_path / "half.gz")
