"""`ranklift simulate run`: its files go straight into `ranklift lift`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
from polars.testing import assert_frame_equal

from ranklift.cli.lift import lift
from ranklift.cli.simulate.run import run_world
from ranklift.v1.errors import InvalidRequest

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `ranklift run ARGUMENTS` or `ranklift lift ARGUMENTS` and return what it printed."""
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: object) -> str:
        app = typer.Typer()
        app.command("run")(run_world)
        app.command("lift")(lift)
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return call


def read(folder: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(folder / table)


@pytest.mark.parametrize("react", [[], ["--react"]])
def test_the_report_finds_what_was_simulated(run: Run, tmp_path: Path, react: list[str]) -> None:
    said = run("run", tmp_path / "log", "--users", 4_000, "--seed", 3, *react)
    pages, clicks = read(tmp_path / "log", "pages"), read(tmp_path / "log", "clicks")
    assert f"{len(pages):,} pages and {len(clicks):,} clicks of users 0:4000" in said
    command = said.splitlines()[1].split()
    assert command[:2] == ["ranklift", "lift"]
    report = json.loads(run(*command[1:], "--format", "json"))
    lifts = {row["metric"]: row for row in report["lifts"]}
    page_ctr = lifts["page_ctr"]
    clicked = pages.with_columns(c=pl.col("page_id").is_in(clicks["page_id"].implode()))
    by_arm = dict(clicked.group_by(pl.col("arm").cast(pl.String)).agg(pl.col("c").mean()).rows())
    assert page_ctr["control_value"] == pytest.approx(by_arm["bm25"], rel=1e-12)
    assert page_ctr["arm_value"] == pytest.approx(by_arm["ideal"], rel=1e-12)
    assert page_ctr["relative_lift_interval"]["lower"] > 0
    assert {"dwell_per_click", "sessions_per_unit", "queries_per_session"} <= lifts.keys()
    assert report["checks"]
    assert all(check["passed"] for check in report["checks"])


def test_shards_and_workers_make_no_difference(run: Run, tmp_path: Path) -> None:
    run("run", tmp_path / "whole", "--users", 300, "--workers", 1)
    for shard in ("120:300", "0:120"):
        run("run", tmp_path / "shards", "--users", shard, "--workers", 2)
    for table in ("pages", "clicks"):
        assert_frame_equal(read(tmp_path / "shards", table), read(tmp_path / "whole", table))


def test_a_collection_with_a_run_file(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": "", "text": f"wing number {n}"} for n in range(3)]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(d) for d in documents))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "wing"}))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n")
    ranked = tmp_path / "student.trec"
    # The scores say the order.
    ranked.write_text("q Q0 d0 1 1.0 x\nq Q0 d1 2 3.0 x\nq Q0 d2 3 2.0 x\n")
    run(
        "run", tmp_path / "log", "--collection", folder, "--users", 50,
        "--arm", f"student={ranked}",
    )  # fmt: skip
    shown = pl.read_parquet(tmp_path / "log" / "rankings.parquet")
    documents_shown = shown.join(
        pl.read_parquet(tmp_path / "log" / "documents.parquet"), on="document"
    ).sort("position")
    assert documents_shown["document_id"].to_list() == ["d1", "d2", "d0"]
    assert set(read(tmp_path / "log", "pages")["arm"]) == {"student"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--users", "many"], "neither a number nor first:end"),
        (["--users", "9:3"], "0 <= first < end"),
        (["--arm", "bm25"], "is not NAME=RANKING"),
        (["--arm", "a=bm25", "--arm", "a=ideal"], "named twice"),
        (["--arm", "a=missing.trec"], "there is no file"),
        (["--days", "0"], "must be above 0"),
        (["--name", "Two Words"], "lower-case"),
    ],
)
def test_what_cannot_be_played_is_refused_and_nothing_written(
    run: Run, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        run("run", tmp_path / "log", *arguments)
    assert not (tmp_path / "log").exists()


def test_a_run_that_leaves_queries_out_is_refused(run: Run, tmp_path: Path) -> None:
    ranked = tmp_path / "half.trec"
    ranked.write_text("q00000 Q0 d00001 1 1.0 x\n")
    with pytest.raises(InvalidRequest, match='ranks nothing for query "q00001"'):
        run("run", tmp_path / "log", "--arm", f"a={ranked}")
    ranked.write_text("q00000 Q0 d00001 1 best x\n")
    with pytest.raises(InvalidRequest, match="not a number") as refused:
        run("run", tmp_path / "log", "--arm", f"a={ranked}")
    assert refused.value.violations[0].field == f"{ranked}:1"
