"""`ranklift bench rank` against servers on real sockets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.rankers.bench.rest_server import rest_server

from ranklift.cli import main

Run = Callable[..., int]
BRIEF = ("--seconds", "0.2", "--warm-up", "0", "--documents", "1-3")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "250")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", "bench", "rank", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return call


@pytest.fixture
def urls() -> Iterator[tuple[str, str]]:
    with rest_server("cohere") as one, rest_server("tei", refuse_every=2) as other:
        yield one.url, other.url


def test_two_servers_are_compared_in_alternation(
    run: Run, urls: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = urls
    arguments = (one, "--vs", other, "--rate", "50", "--even", "--rounds", "2", *BRIEF)
    assert run(*arguments, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "ranklift.rank_bench/1"
    assert [each["address"] for each in found["endpoints"]] == [one, other]
    first, second = found["endpoints"]
    assert [each["answered"] for each in first["rounds"]] == [10, 10]
    assert [each["refused"] for each in second["rounds"]] == [{"HTTP 429": 5}, {"HTTP 429": 5}]
    ratio = second["ratios"]["pairs_per_second"]
    assert ratio["min"] <= ratio["median"] <= ratio["max"]
    by_round = [
        a["pairs_per_second"] / b["pairs_per_second"]
        for a, b in zip(first["rounds"], second["rounds"], strict=True)
    ]
    assert [ratio["min"], ratio["max"]] == pytest.approx(sorted(by_round))


def test_the_table_says_what_was_measured(
    run: Run, urls: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = urls
    assert run(one, "--vs", other, "--clients", "2", "--rounds", "2", *BRIEF) == 0
    printed = capsys.readouterr().out
    assert "HTTP 429" in printed
    assert f"{one} divided by" in printed
    assert "1,000 made-up requests of 1 to 3 documents; 2 clients" in printed
    assert "2 rounds of 0.2 s" in printed


def test_queries_of_a_collection_are_asked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "", "text": "red house"}\n{"_id": "b", "text": "red tree"}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "red"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    with rest_server("cohere") as rest:
        collection = ("--collection", str(tmp_path), "--depth", "2")
        assert run(rest.url, *collection, "--clients", "1", "--seconds", "0.1") == 0
    assert rest.bodies[0]["query"] == "red"
    assert sorted(rest.bodies[0]["documents"]) == ["red house", "red tree"]
    assert "1 queries" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nonsense",), '"nonsense" lacks a host or a port'),
        (("h:1", "--vs", "h:1"), "names a server twice"),
        (("h:1", "--rate", "1", "--clients", "1"), "either a rate or a number of clients"),
        (("h:1", "--rate", "0"), "rate: is 0, must be 0.01 to 10,000"),
        (("h:1", "--rounds", "0"), "rounds: is 0"),
        (("h:1", "--documents", "9-1"), "must rise"),
        (("h:1", "--documents", "some"), "is not LOW-HIGH"),
        (("h:1", "--collection", "a", "--requests", "b"), "together with a collection"),
        (("h:1", "--requests", "nope"), 'no file "nope"'),
        (("h:1", "--artefact", "nope"), '"nope"'),
        (("127.0.0.1:1",), "grpc://127.0.0.1:1 does not rank: UNAVAILABLE"),
        (("http://127.0.0.1:1/rerank",), "does not rank: NOT_REACHED"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert complaint in lines[0]
