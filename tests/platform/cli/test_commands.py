"""The commands as a user types them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from ranklift.cli import command, main
from ranklift.cli.composition import registry_of
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick
from ranklift.events.values import Document, Page, PageAssignment
from ranklift.settings import load_settings
from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.traffic.splitter import assign

DEFINITION = """
name = "title-boost"
hypothesis = "More clicks."

[[arms]]
name = "control"
share = 0.5
model = "bm25@1"

[[arms]]
name = "treatment"
share = 0.5
model = "bm25@2"
"""

Run = Callable[..., int]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift ARGUMENTS` on the test's home and return the exit code."""
    monkeypatch.setenv("RANKLIFT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return call


@pytest.fixture
def definition(tmp_path: Path, home: Path) -> str:
    """A file with an experiment whose model versions are registered."""
    with registry_of(load_settings(home=home)) as registry:
        for version in ("1", "2"):
            registry.models.register(
                ModelVersion(
                    ref=ModelRef("bm25", version),
                    kind="bm25",
                    digest=f"sha256:{version * 64}",
                    numerics="fp32",
                    uri=f"/models/{version}",
                    lineage=Lineage("index"),
                    created=datetime(2026, 1, 1, tzinfo=UTC),
                )
            )
    path = tmp_path / "title-boost.toml"
    path.write_text(DEFINITION)
    return str(path)


def commands(app: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command that is not hidden."""
    group = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []

    def walk(node: Any, words: tuple[str, ...]) -> None:
        children = getattr(node, "commands", None)
        if children is None:
            found.append(words)
            return
        for name, child in children.items():
            if not child.hidden:
                walk(child, (*words, name))

    walk(group, path)
    return found


@pytest.mark.parametrize("words", commands(command()), ids=" ".join)
def test_every_command_has_help_with_an_example(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(*words, "--help") == 0
    assert f"Example: ranklift {' '.join(words)}" in " ".join(
        capsys.readouterr().out.replace("`", "").split()
    )


def test_an_experiment_from_a_file_to_its_conclusion(
    run: Run, definition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("experiment", "apply", definition) == 0
    assert run("experiment", "apply", definition) == 0, "applying a file twice is no error"
    assert run("experiment", "start", "title-boost", "--reason", "reviewed") == 0
    capsys.readouterr()
    assert run("experiment", "list") == 0
    assert "title-boost" in (listed := capsys.readouterr().out)
    assert "running" in listed
    assert run("experiment", "pause", "title-boost") == 0
    assert run("experiment", "stop", "title-boost", "--decision", "ship") == 2, "ship what?"
    assert run("experiment", "stop", "title-boost", "--decision", "ship", "--arm", "treatment") == 0
    capsys.readouterr()
    assert run("experiment", "show", "title-boost") == 0
    shown = capsys.readouterr().out
    assert "concluded (ship)" in shown
    assert "reviewed" in shown


def test_an_experiment_is_changed_ramped_and_held_out(
    run: Run, definition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("layer", "set", "default", "--holdout", "0.05", "--reason", "long-term") == 0
    assert run("experiment", "apply", definition) == 0
    with open(definition, "a") as file:
        file.write('[ramp]\nsteps = [{traffic_share = 0.01, hold = "1d"}, {traffic_share = 1}]\n')
    assert run("experiment", "apply", definition) == 0
    assert run("experiment", "start", "title-boost", "--etag", "title-boost-1") == 2, "stale"
    assert run("experiment", "start", "title-boost", "--etag", "title-boost-2") == 0
    assert run("experiment", "ramp", "title-boost", "0.25", "--reason", "no harm") == 0
    assert run("experiment", "update", "title-boost", "--owner", "bob", "--force", "u=control") == 0
    assert run("experiment", "update", "title-boost") == 2, "update what?"
    assert run("layer", "set", "default", "--holdout", "0.1") == 2, "units would change"
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert '"title-boost" is running in layer "default"' in complaint
    assert run("layer", "list") == 0
    assert "5 %" in capsys.readouterr().out
    assert run("experiment", "list", "--state", "running", "--owner", "bob") == 0
    assert "25 %" in capsys.readouterr().out
    assert run("experiment", "show", "title-boost") == 0
    shown = capsys.readouterr().out
    for fact in ("0-9999", "u control", "1 % for 1 day", "no harm", "bm25@2"):
        assert fact in shown


def test_the_schema_is_printed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("experiment", "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("experiment", "show", "nope"), "nope"),
        (("experiment", "apply", "nope.toml"), "nope.toml"),
        (("experiment", "ramp", "nope", "2"), "2 is no share"),
        (("experiment", "update", "nope", "--force", "u"), "is not UNIT=ARM"),
        (("layer", "set", "a/b", "--holdout", "0.1"), '"a/b" is no valid name'),
        (("report", "nope"), "nope"),
        (("retrain", "run", "nope"), "nope"),
        (("serve", "ranker", "--load", "bm25"), "is not model@version"),
        (("serve", "ranker", "--load", "bm25@7"), "no model"),
        (("serve", "gateway", "--address", "0.0.0.0:7400"), "not a loopback address"),
        (("evaluate", "bm25@7", "--collection", "nope"), "no model"),
        (("train", "bm25", "--collection", "nope"), "nope"),
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


def test_an_unknown_key_of_an_experiment_file_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(DEFINITION + '\nhypotesis = "x"\n')
    assert run("experiment", "apply", str(path)) == 2
    assert "hypotesis" in capsys.readouterr().err


def test_processes_that_meet_in_a_new_installation_all_find_its_registry(tmp_path: Path) -> None:
    def first_models(home: Path) -> int:
        with registry_of(load_settings(home=home)) as registry:
            return len(registry.models.list()[0])

    (tmp_path / "registry.db").touch()  # what the first of them leaves while it makes the tables
    assert first_models(tmp_path) == 0
    with ThreadPoolExecutor(4) as pool:
        for meeting in range(5):
            assert list(pool.map(first_models, [tmp_path / str(meeting)] * 4)) == [0] * 4


def test_a_registry_of_another_version_says_which_command_to_run(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    sqlite3.connect(home / "registry.db").execute("CREATE TABLE something (id)").connection.close()
    assert run("experiment", "list") == 2
    assert 'run "ranklift db upgrade"' in capsys.readouterr().err


@pytest.fixture
def reported(home: Path, run: Run, definition: str) -> Run:
    """The command on an installation whose experiment has met sixty users."""
    assert run("experiment", "apply", definition) == 0
    assert run("experiment", "start", "title-boost") == 0
    with registry_of(load_settings(home=home)) as registry:
        experiment = registry.experiments.get("title-boost").experiment
    began = datetime(2026, 1, 5, tzinfo=UTC)

    async def record() -> None:
        async with await EventLog.open(home) as log:
            for user in range(60):
                assigned = assign(experiment, f"u{user}")
                assert assigned is not None
                arm = assigned.arm
                page = Page(
                    impression_id=f"p{user}",
                    page_time=began + timedelta(minutes=user),
                    user_id=f"u{user}",
                    session_id="",
                    query="q",
                    documents=("d",),
                    scores=(1.0,),
                    model="bm25",
                    version=arm.model.version if arm.model else "",
                    digest="",
                    assignments=(
                        PageAssignment(
                            "title-boost", 2, "default", arm.name, f"u{user}", assigned.bucket
                        ),
                    ),
                    fallback_reason="",
                    latency_ms=1.0,
                )
                await log.record_page(page, [Document("d", "t", "x")])
                if user % 3:
                    await log.record_events([PendingClick(f"c{user}", f"p{user}", "d", began)])

    asyncio.run(record())
    return run


def test_a_report_as_a_table(reported: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert reported("report", "title-boost") == 0
    printed = capsys.readouterr().out
    assert "PageCTR" in printed
    assert "sample_ratio" in printed


def test_a_report_as_json(reported: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert reported("report", "title-boost", "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "ranklift.lift_report/2"
    assert sum(arm["pages"] for arm in report["arms"]) == 60


def test_a_report_as_a_page(reported: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert reported("report", "title-boost", "--format", "html", "--output", str(path)) == 0
    assert "title-boost" in path.read_text()
