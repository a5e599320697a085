"""`ranklift evaluate` as a user types it: the same figures as table, JSON and page."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from ranklift.cli import main
from ranklift.cli.evaluate.words import TITLES
from ranklift.rankers.base import Text
from ranklift.rankers.bm25 import build_bm25
from ranklift.simulator.candidates import save_run
from ranklift.simulator.collections import Collection, Document, save_beir

Run = Callable[..., int]
SCHEMA = json.loads(Path("docs/evaluation.schema.json").read_text(encoding="utf-8"))
QUERIES, PER_QUERY = 12, 6


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift ARGUMENTS` in a folder and return the exit code."""
    monkeypatch.setenv("RANKLIFT_HOME", str(folder / "home"))
    monkeypatch.setenv("COLUMNS", "240")
    root = Path.cwd()

    def call(*arguments: str) -> int:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["ranklift", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        monkeypatch.chdir(root)
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "collection")


def make_collection(folder: Path) -> Path:
    """Queries with six candidates each: grades 2 1 0, two not judged, one more 0; one relevant
    document is no candidate, one query has no candidates."""
    documents: dict[str, Document] = {}
    queries, judgments, candidates = {}, {}, {}
    for q in range(QUERIES):
        own = [f"d{q}-{i}" for i in range(PER_QUERY + 1)]
        documents |= {d: Document(d, "", f"word{q} word{i} <b>&") for i, d in enumerate(own)}
        queries[f"q{q}"] = f"word{q} <script>"
        judgments[f"q{q}"] = {own[0]: 2, own[1]: 1, own[2]: 0, own[5]: 0, own[6]: 1}
        candidates[f"q{q}"] = tuple(own[:PER_QUERY])
    queries["lonely"] = "nothing"
    judgments["lonely"] = {"d0-0": 1}
    save_beir(Collection(documents, queries, judgments), folder)
    save_run(candidates, folder)
    return folder


def write_run(path: Path, noise: float, skip: int = 0) -> str:
    """Write a run that knows the grades but for noise."""
    rng = np.random.default_rng(int(10 * noise))
    lines = [
        f"q{q} Q0 d{q}-{i} 1 {score} x\n"
        for q in range(QUERIES)
        for i, score in enumerate(np.array([2.0, 1, 0, 0, 0, 0]) + noise * rng.normal(size=6))
        if i < PER_QUERY - skip
    ]
    path.write_text("".join(lines))
    return path.name


class Cells(HTMLParser):
    """The text of every cell, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self._open = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], str]:
    """A run against two others with all that can be asked for: table, JSON, page."""
    folder = tmp_path_factory.mktemp("everything")
    make_collection(folder / "collection")
    names = [write_run(folder / f"{n}.trec", n) for n in (0.5, 1.0, 3.0)]
    of = ("evaluate", *names, "--collection", "collection", "--distributions", "--calibrate")
    table, content = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = runner(folder, monkeypatch)
        with contextlib.redirect_stdout(table):
            assert run(*of) == 0
        with contextlib.redirect_stdout(content):
            assert run(*of, "--format", "json") == 0
        assert run(*of, "--format", "html", "--output", "page.html") == 0
    return table.getvalue(), json.loads(content.getvalue()), (folder / "page.html").read_text()


def test_the_json_is_as_its_schema_says(everything: tuple[str, dict[str, Any], str]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(everything[1])


def shown_figures(content: dict[str, Any]) -> list[str]:
    """The figures of the JSON, as the others write them."""
    found = []
    for system in content["systems"]:
        for name, each in system["figures"].items():
            ends = [each[end] for end in ("value", "lower", "upper")]
            if None not in ends:
                found.append("{:.4f} [{:.4f}, {:.4f}]".format(*ends))
            else:
                assert name == "pnr_unsmoothed"
        found += [f"{each[k]:.4f}" for each in system["calibration"] for k in ("ece", "brier")]
        found += [
            f"{one[k]:.4f}"
            for each in system["calibration"]
            for one in each["bins"]
            for k in ("probability", "relevant")
        ]
    for each in content["comparisons"]:
        found += [f"{each['difference']:+.4f}", f"{each['lower']:+.4f} to {each['upper']:+.4f}"]
        found += [f"{each['p_holm']:.4f}"]
    for each in content["distances"]:
        found += [f"{each[k]:.4f}" for k in ("ks", "overlap", "standardised_ks", "kendall_tau")]
    return found


def test_table_json_and_page_say_the_same(everything: tuple[str, dict[str, Any], str]) -> None:
    table, content, page = everything
    cells = Cells()
    cells.feed(page)
    figures = shown_figures(content)
    assert len(figures) > 100
    for figure in figures:
        assert figure in cells.cells
        assert figure in table


def test_the_page_needs_nothing_and_runs_nothing(
    everything: tuple[str, dict[str, Any], str],
) -> None:
    cells = Cells()
    cells.feed(everything[2])
    tags = {tag for tag, _ in cells.tags}
    assert not tags & {"script", "link", "img", "iframe"}
    assert not [a for _, a in cells.tags if a.keys() & {"href", "src", "onclick"}]
    assert "word0 <script>" in cells.cells  # the text of a query, not a tag


def test_the_page_explains_every_figure_it_has(
    everything: tuple[str, dict[str, Any], str],
) -> None:
    _, content, page = everything
    cells = Cells()
    cells.feed(page)
    meanings = cells.cells[cells.cells.index("meaning") + 1 :]
    defined = set(meanings[::2])
    measures = [m.partition("@") for m in content["rules"]["measures"]]
    assert {f"{TITLES[name]}{at}{k}" for name, at, k in measures} <= defined
    for name in ("pair", "PNR", "pair accuracy", "95 % interval", "best order", "p", "Holm p"):
        assert name in defined
    for name in ("KS", "overlap", "Kendall tau", "ECE", "Brier", "affine", "isotonic", "log PNR"):
        assert name in defined
    assert all(len(meaning) > 10 for meaning in meanings[1::2])


def test_plots_are_drawn_for_distances_separation_and_reliability(
    everything: tuple[str, dict[str, Any], str],
) -> None:
    page = everything[2]
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert "Scores: 0.5.trec (filled), 3.0.trec (line)" in titles
    assert "1.0.trec: not relevant (filled), relevant (line)" in titles
    assert "3.0.trec, isotonic: relevant share by probability" in titles
    assert len(titles) == 2 * 2 + 3 + 3 * 4
    paths = re.findall(r'<path class="\w+" d="(.*?)"', page)
    assert len(paths) == 2 * len(titles)
    assert not [path for path in paths if "nan" in path or "inf" in path]


def test_figures_by_hand(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write_run(tmp_path / "ideal.trec", 0.0)
    of = ("evaluate", name, "--collection", "collection", "--distributions")
    assert run(*of, "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["queries"], content["queries_without_candidates"]) == (QUERIES, 1)
    assert content["candidates"] == "those of candidates.trec"
    (system,) = content["systems"]
    # 2 over 1 and four zeros, 1 over four zeros; both judged: 2 over 1, each over two zeros.
    assert (system["pairs"], system["judged_pairs"], system["tied"]) == (9 * 12, 5 * 12, 0)
    figures = {name: each["value"] for name, each in system["figures"].items() if each}
    assert figures["pnr_unsmoothed"] is None
    assert figures["pnr"] == 2 * 9 * 12 + 1
    assert figures["judged_pnr"] == 2 * 5 * 12 + 1
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["mrr"] == 1
    assert figures["map"] == pytest.approx(2 / 3)
    assert figures["p@5"] == pytest.approx(2 / 5)
    gain = 2 + 1 / np.log2(3)
    assert figures["ndcg@5"] == pytest.approx(gain / (gain + 1 / 2))
    assert figures["judged@10"] == pytest.approx(4 / 6)
    best = {name: each["value"] for name, each in content["best_order"]["figures"].items()}
    assert best == figures
    assert content["comparisons"] == content["distances"] == []
    others, relevant = (system["separation"][side] for side in ("first", "second"))
    assert (others[0], relevant[0], relevant[-1]) == (1, 0, 0.5)


def test_scores_that_say_nothing_are_told_as_such(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / write_run(tmp_path / "flat.trec", 0.0)
    path.write_text(re.sub(r" 1 \S+ x", " 1 7 x", path.read_text()))
    names = [write_run(tmp_path / "a.trec", 1.0), "flat.trec"]
    of = ("evaluate", *names, "--collection", "collection", "--distributions", "--calibrate")
    assert run(*of, "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    flat, (distance,) = content["systems"][1], content["distances"]
    assert flat["tied"] == 1
    assert flat["figures"]["pair_accuracy"]["value"] == 0.5
    assert flat["figures"]["pnr_unsmoothed"]["value"] is None
    assert distance["standardised_ks"] is None
    assert {each["ties"] for each in flat["calibration"]} == {0}
    for style in ("table", "html"):
        assert run(*of, "--format", style) == 0
        assert "100.0 %" in capsys.readouterr().out


def test_rules_are_settings(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write_run(tmp_path / "ideal.trec", 0.0)
    rules = ("--gain", "exponential", "--ties", "half", "--relevant", "2")
    of = ("evaluate", name, "--collection", "collection", "--measures", "NDCG@5,p@2", *rules)
    assert run(*of, "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rules"]["measures"] == ["ndcg@5", "p@2"]
    (figures,) = (each["figures"] for each in content["systems"])
    gain = 3 + 1 / np.log2(3)
    assert figures["ndcg@5"]["value"] == pytest.approx(gain / (gain + 1 / 2))
    assert figures["p@2"]["value"] == 1 / 2
    assert run(*of) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "Gain: 2^y - 1 of the grade y." in table
    assert "equal scores are a tie and count half in each side" in table
    assert "Relevant: grade 2 or more" in table


def test_the_worst_queries_come_first_and_none_when_not_wanted(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "spoilt.trec", 0.0)
    path = tmp_path / "spoilt.trec"
    path.write_text(path.read_text().replace("q7 Q0 d7-0 1 2.0 x", "q7 Q0 d7-0 1 -1 x"))
    of = ("evaluate", "spoilt.trec", "--collection", "collection")
    assert run(*of, "--worst", "1") == 0
    table = capsys.readouterr().out
    (row,) = (line for line in table.splitlines() if line.startswith("spoilt.trec   q"))
    assert row.split()[1] == "q7"
    assert run(*of, "--worst", "0") == 0
    assert "Worst queries" not in capsys.readouterr().out


def test_a_folder_of_a_model_and_a_run_that_lacks_candidates(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_bm25([Text("d", "", "word1 word2")], tmp_path / "model")
    name = write_run(tmp_path / "short.trec", 0.0, skip=2)
    assert run("evaluate", "./model", name, "--collection", "collection", "--format", "json") == 0
    model, short = json.loads(capsys.readouterr().out)["systems"]
    assert model["name"] == "./model"
    assert model["digest"].startswith("sha256:")
    assert (model["note"], short["note"]) == (
        "",
        "24 of 72 candidates are not in it and come last, tied",
    )
    assert short["tied"] == 0  # last are two that are not relevant: no pair
    assert short["figures"]["mrr"]["value"] == 1


def test_the_same_command_says_the_same(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [write_run(tmp_path / f"{n}.trec", n) for n in (1.0, 2.0)]
    of = ("evaluate", *names, "--collection", "collection", "--calibrate", "--format", "json")
    said = []
    for seed in ("3", "3", "4"):
        assert run(*of, "--seed", seed) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nonsense",), '"nonsense" is neither model@version, nor the folder'),
        (("a.trec", "a.trec"), '"a.trec" is there twice'),
        (("bm25@7",), "no model"),
        (("collection",), "holds no model version"),
        (("a.trec", "--measures", "ndgc"), '"ndgc" is no measure'),
        (("a.trec", "--output", "x.txt"), "a table goes to the terminal"),
        (("a.trec", "--format", "html", "--output", "no/x.html"), 'no folder "no"'),
        (("fields.trec",), "fields.trec:2: has 3 columns, must have 6"),
        (("words.trec",), 'words.trec:1: score is "high", must be a finite number'),
        (("nan.trec",), 'nan.trec:1: score is "nan", must be a finite number'),
        (("twice.trec",), 'twice.trec:2: "d0-0" is ranked twice for "q0"'),
        (("others.trec",), "ranks none of the candidates"),
        (("binary.trec",), "binary.trec:1: is not UTF-8"),
        (("a.trec", "--relevant", "3"), "relevant: is 3, and no grade is above 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(
    run: Run,
    collection: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(tmp_path / "a.trec", 1.0)
    line = "q0 Q0 d0-0 1 2.0 x\n"
    (tmp_path / "fields.trec").write_text(f"{line}q0 d0-1 3\n")
    (tmp_path / "words.trec").write_text(line.replace("2.0", "high"))
    (tmp_path / "nan.trec").write_text(line.replace("2.0", "nan"))
    (tmp_path / "twice.trec").write_text(2 * line)
    (tmp_path / "others.trec").write_text(line.replace("q0", "q99"))
    (tmp_path / "binary.trec").write_bytes(b"\xff\xfe\x00")
    assert run("evaluate", *arguments, "--collection", "collection") == 2
    captured = capsys.readouterr()
    errors = [e for e in captured.err.splitlines() if e.startswith("error: ")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert captured.out == ""


def test_a_collection_without_candidates_or_without_a_folder(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write_run(tmp_path / "a.trec", 1.0)
    assert run("evaluate", name, "--collection", "nowhere") == 2
    assert "nowhere: does not exist; a dataset is a folder" in capsys.readouterr().err
    (collection / "candidates.trec").write_text("lonely Q0 d3-0 1 1 x\n")
    judgments = collection / "qrels" / "test.tsv"
    lines = judgments.read_text().splitlines(keepends=True)
    judgments.write_text("".join(line for line in lines if not line.startswith("lonely")))
    assert run("evaluate", name, "--collection", "collection") == 2
    assert "has no candidates for a judged query" in capsys.readouterr().err


def test_a_fold_judges_on_its_own_part_of_the_queries_and_says_what_leaked(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = write_run(tmp_path / "system.trec", 0.5)
    judged = []
    for fold in ("1/2", "2/2"):
        report = tmp_path / f"{fold[0]}.json"
        of = ("--data", "collection", "--fold", fold, "--format", "json", "--output", str(report))
        assert run("evaluate", system, *of) == 0
        judged.append(json.loads(report.read_text())["queries"])
    assert all(judged)
    whole = tmp_path / "whole.json"
    again = ("--data", "collection", "--format", "json", "--output", str(whole))
    capsys.readouterr()
    assert run("evaluate", system, *again, "--learnt-from", "collection") == 0
    queries = json.loads(whole.read_text())["queries"]
    assert sum(judged) == queries
    assert f"{queries} of {queries} test queries are in the training split" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run("evaluate", system, "--data", "collection", "--fold", "3/2") == 2
    assert 'fold: "3/2" must be like 2/5' in capsys.readouterr().err


def test_leakage_counts_the_queries_of_the_split_that_was_learnt_from(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = write_run(tmp_path / "system.trec", 0.5)
    header, *lines = (collection / "qrels" / "test.tsv").read_text().splitlines(keepends=True)
    mine = [line for line in lines if line.startswith(("q0\t", "q1\t"))]
    for name, kept in (("train", [each for each in lines if each not in mine]), ("test", mine)):
        (collection / "qrels" / f"{name}.tsv").write_text("".join([header, *kept]))
    of = ("evaluate", system, "--data", "collection", "--learnt-from", "./collection")

    def said(*arguments: str) -> str:
        capsys.readouterr()
        assert run(*of, *arguments) == 0
        return " ".join(capsys.readouterr().err.split())

    assert "in the training split" not in said("--learnt-split", "train")
    assert "2 of 2 test queries are in the training split" in said("--learnt-split", "test")
    assert "2 of 2 test queries are in the training split" in said()
    # The file of queries holds those of both splits.
    assert "in the training split" not in said("--split", "train")
    same = ("--split", "train", "--learnt-split", "train")
    assert "test queries are in the training split" in said(*same)
    for fold in ("1/2", "2/2"):  # by text, so that none is on both sides
        assert "in the training split" not in said(*same, "--fold", fold)
    # What was learnt from the other split had no such fold.
    trained = ("--split", "train", "--learnt-split", "test", "--fold", "1/2")
    assert "in the training split" not in said(*trained)

    assert run("evaluate", system, "--data", "collection", "--learnt-split", "train") == 2
    assert "learnt_split: of what is not said" in capsys.readouterr().err


def test_every_list_of_a_file_was_learnt_from_judged_or_not(
    run: Run, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = write_run(tmp_path / "system.trec", 0.5)
    row = {"query": "word0 <script>", "documents": [{"id": d, "text": d} for d in ("a", "b")]}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    of = ("--data", "collection", "--learnt-from", "asked.jsonl")
    assert run("evaluate", system, *of) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"1 of {QUERIES} test queries are in the training split" in said
