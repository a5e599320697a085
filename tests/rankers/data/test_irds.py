"""Datasets of ir_datasets, where the package is installed; a clear line where it or the data is
not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ranklift.rankers.base import Text
from ranklift.rankers.data.irds import judged_of, read_irds
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady, Unreachable


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package makes folders in the user's home when it is loaded."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "irds"))


def test_without_the_package_the_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(NotReady, match=r'irds:vaswani: needs .* run "pip install ir-datasets"'):
        read_irds("vaswani")


def test_an_unknown_dataset_is_refused() -> None:
    pytest.importorskip("ir_datasets")
    with pytest.raises(NotFound, match="irds:no/such: ir_datasets knows no such dataset"):
        read_irds("no/such")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "docs.tsv").write_text("d1\tlift is a force\nd2\twings\nd3\t \n")
    (tmp_path / "queries.tsv").write_text("q1\twhat is lift\nq2\twings\n")
    (tmp_path / "qrels").write_text("q1 0 d1 2\nq1 0 d2 -2\nq1 0 d3 1\n")
    return tmp_path


def dataset(folder: Path) -> object:
    package = pytest.importorskip("ir_datasets")
    files = {"docs_tsv": "docs.tsv", "queries_tsv": "queries.tsv", "qrels_trec": "qrels"}
    made: object = package.create_dataset(**{k: str(folder / name) for k, name in files.items()})
    return made


def test_a_dataset_is_read_whole_without_what_is_empty(made: Path) -> None:
    judged = judged_of(dataset(made), "made")
    assert judged.queries == {"q1": "what is lift", "q2": "wings"}
    assert judged.documents == {
        "d1": Text("d1", "", "lift is a force"),
        "d2": Text("d2", "", "wings"),
    }
    assert judged.grades == {"q1": {"d1": 2, "d2": 0}}
    assert judged.candidates == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 d9 1", 'irds:made: judges or ranks 1 documents that it lacks, "d9" first'),
        ("q9 0 d1 1", 'irds:made: judges or ranks 1 queries that it lacks, "q9" first'),
    ],
)
def test_unknown_ids_are_named(made: Path, line: str, message: str) -> None:
    with (made / "qrels").open("a") as file:
        file.write(line)
    with pytest.raises(InvalidRequest) as raised:
        judged_of(dataset(made), "made")
    assert message in str(raised.value)


def test_data_that_is_not_there_is_said_in_one_line(made: Path) -> None:
    (made / "docs.tsv").unlink()
    with pytest.raises(Unreachable, match="irds:made: ir_datasets cannot get the data") as raised:
        judged_of(dataset(made), "made")
    assert "\n" not in str(raised.value)
