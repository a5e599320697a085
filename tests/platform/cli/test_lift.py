"""`ranklift lift` on logs that ranklift did not write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer

from ranklift.cli.lift import lift
from ranklift.lift.render.as_frame import COLUMNS
from ranklift.v1.errors import InvalidRequest

USERS = 400


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """Pages of 400 users, half of them in each arm; the student is clicked more often."""
    rng = np.random.default_rng(7)
    pages = 1 + rng.poisson(5, USERS)
    user = np.repeat(np.arange(USERS), pages)
    student = user % 2 == 1
    likely = rng.beta(4, 6, USERS)[user] + 0.25 * student
    return pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in user],
            "arm": np.where(student, "student", "bm25"),
            "timestamp": [
                datetime(2025, 3, 1) + timedelta(days=int(day))
                for day in rng.integers(0, 5, len(user))
            ],
            "clicked": (rng.random(len(user)) < likely).astype(int),
            "device": np.where(user % 3 == 0, "phone", "desktop"),
            "scrolls": rng.poisson(3, len(user)),
        }
    )


@pytest.fixture
def pages(log: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "spring-test.parquet"
    log.write_parquet(path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `ranklift lift ARGUMENTS` and return what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> str:
        app = typer.Typer()
        app.command()(lift)
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return call


def as_json(run: Callable[..., str], *arguments: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(run(*arguments, "--format", "json"))
    return value


def test_a_log_becomes_a_report(run: Callable[..., str], pages: Path) -> None:
    text = run(pages, "--control", "bm25", "--segments", "device")
    assert "spring-test: lift over bm25" in text
    assert "PageCTR by device" in text


def test_options_become_the_plan(run: Callable[..., str], pages: Path, tmp_path: Path) -> None:
    declared = tmp_path / "metrics.toml"
    declared.write_text(
        '[[metrics]]\nname = "scrolls"\ntitle = "Scrolls"\nunit = "scrolls per page"\n'
        'definition = "Scrolls divided by pages."\nnumerator = "scrolls"\ndenominator = "pages"\n'
        'direction = "down"\n'
    )
    value = as_json(
        run,
        *(pages, "--control", "bm25", "--primary", "user_ctr", "--secondary", "page_ctr, scrolls"),
        *("--guardrails", "abandonment=0.02", "--metrics", declared, "--alpha", "0.1"),
        *("--planned-units", "900", "--horizon", "fixed", "--shares", "bm25=0.6,student=0.4"),
    )
    plan = value["plan"]
    assert value["primary_metric"] == "user_ctr"
    assert plan["secondary_metrics"] == ["page_ctr", "scrolls"]
    assert plan["guardrails"] == [{"metric": "abandonment", "margin": 0.02}]
    assert [metric["name"] for metric in plan["metrics"]] == ["scrolls"]
    assert (plan["alpha"], plan["planned_units"], value["horizon"]) == (0.1, 900, "fixed")
    assert {arm["arm"]: arm["planned_share"] for arm in value["arms"]} == {
        "bm25": 0.6,
        "student": 0.4,
    }
    roles = {lift["metric"]: lift["role"] for lift in value["lifts"]}
    assert roles["scrolls"] == "secondary"
    assert roles["abandonment"] == "guardrail"


def test_an_invalid_report_is_a_report(run: Callable[..., str], pages: Path) -> None:
    text = run(pages, "--control", "bm25", "--shares", "bm25=0.9,student=0.1")
    assert text.index("INVALID") < text.index("FAILED sample_ratio") < text.index("PageCTR")


def test_csv_a_folder_and_a_pattern_give_the_same_report(
    run: Callable[..., str], log: pl.DataFrame, pages: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    log.head(900).write_parquet(folder / "a.parquet")
    log.tail(-900).write_parquet(folder / "b.parquet")
    log.write_csv(tmp_path / "pages.csv")
    whole = as_json(run, pages, "--control", "bm25")
    for source in (folder, folder / "*.parquet", tmp_path / "pages.csv"):
        assert as_json(run, source, "--control", "bm25")["lifts"] == whole["lifts"]


def test_a_table_of_clicks_stands_in_for_a_column(
    run: Callable[..., str], log: pl.DataFrame, pages: Path, tmp_path: Path
) -> None:
    shown = log.with_row_index("page_id")
    shown.drop("clicked").write_parquet(tmp_path / "pages.parquet")
    shown.filter(pl.col("clicked") == 1).select("page_id").write_parquet(tmp_path / "c.parquet")
    apart = as_json(
        run, tmp_path / "pages.parquet", "--clicks", tmp_path / "c.parquet", "--control", "bm25"
    )
    together = as_json(run, pages, "--control", "bm25")
    assert apart["lifts"][0] == together["lifts"][0]


@pytest.mark.parametrize(
    ("style", "begins"),
    [
        ("html", "<!doctype html>"),
        ("markdown", "### spring-test"),
        ("csv", "experiment,"),
        ("json", "{"),
    ],
)
def test_text_goes_to_the_terminal_or_to_a_file(
    run: Callable[..., str], pages: Path, tmp_path: Path, style: str, begins: str
) -> None:
    printed = run(pages, "--control", "bm25", "--format", style)
    assert printed.startswith(begins)
    file = tmp_path / "report"
    assert f"written to {file}" in run(
        pages, "--control", "bm25", "--format", style, "--output", file
    )
    assert file.read_text(encoding="utf-8").strip() == printed.strip()


def test_parquet_goes_to_a_file(run: Callable[..., str], pages: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.parquet"
    run(pages, "--control", "bm25", "--format", "parquet", "--output", file)
    frame = pl.read_parquet(io.BytesIO(file.read_bytes()))
    assert frame.schema == COLUMNS
    assert frame["experiment"].unique().to_list() == ["spring-test"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere.parquet",), 'pages: there is no file "nowhere.parquet"'),
        (("PAGES", "--clicks", "nowhere"), 'clicks: there is no file "nowhere"'),
        (("PAGES/../*.none",), "cannot be read as Parquet or CSV"),
        (("TEXT",), "cannot be read as Parquet or CSV"),
        (("PAGES", "--shares", "bm25:1"), 'shares: "bm25:1" is no name with a number'),
        (("PAGES", "--shares", "bm25=1,bm25=2"), 'shares: "bm25" is named twice'),
        (("PAGES", "--guardrails", "=1"), 'guardrails: "=1" is no name with a number'),
        (("PAGES", "--guardrails", "latency=7"), "margin"),
        (("PAGES", "--segments", "nothing"), 'segments: "nothing"'),
        (("PAGES", "--primary", "nothing"), "nothing"),
        (("PAGES", "--output", "x"), "a table goes to the terminal"),
        (("PAGES", "--format", "parquet"), "Parquet is no text"),
        (("PAGES", "--format", "csv", "--output", "/nowhere/x"), "cannot be written: No such"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(
    run: Callable[..., str],
    pages: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("user_id,arm\n")
    named = [a.replace("PAGES/..", str(tmp_path)).replace("PAGES", str(pages)) for a in arguments]
    named = [a.replace("TEXT", str(text)) for a in named]
    with pytest.raises(InvalidRequest) as refused:
        run(*named, "--control", "bm25")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
