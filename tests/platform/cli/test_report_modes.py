"""What `ranklift report` writes of an experiment that has one arm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranklift.cli.report_output import Beside, Format, write_beside
from ranklift.lift.preference.values import ArmPreferences, Preference
from ranklift.lift.values import Check, Interval
from ranklift.v1.errors import InvalidRequest

BESIDE = Beside(
    preferences=(
        ArmPreferences(
            arm="both",
            method="team_draft",
            preferences=(
                Preference("old@1", "new@1", 3, 9, 8, -0.3, Interval(-0.5, -0.1), 0.01, 0.8),
            ),
            pages=20,
            degraded_pages=1,
            units=5,
            confidence_level=0.95,
            check=Check("missing_rankings", True, None, "Pages that lack one ranking: ..."),
        ),
    )
)


def test_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    write_beside("x", BESIDE, Format.TABLE, None)
    printed = capsys.readouterr().out
    assert "Preference in both (team draft)" in printed
    assert "new@1" in printed


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_beside("x", BESIDE, Format.JSON, path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["experiment"], found["preferences"][0]["pages"]) == ("x", 20)


def test_formats_that_hold_lifts_only_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="one arm"):
        write_beside("x", BESIDE, Format.CSV, None)
