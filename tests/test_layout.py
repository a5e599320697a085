"""The house: five source roots, one namespace, no shadowed standard library."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import ranklift

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ("platform", "rankers", "simulator", "proto", "migrations")


@pytest.mark.parametrize("name", SOURCE_ROOTS)
def test_a_source_root_holds_only_the_namespace(name: str) -> None:
    entries = {p.name for p in (ROOT / name).iterdir() if p.name != "__pycache__"}
    assert entries == {"ranklift"}
    assert not (ROOT / name / "ranklift" / "__init__.py").exists()


def test_ranklift_is_a_namespace_over_all_roots() -> None:
    assert ranklift.__file__ is None
    roots = {Path(entry).parent.name for entry in ranklift.__path__}
    assert roots == set(SOURCE_ROOTS)


def test_the_standard_librarys_platform_stays_reachable() -> None:
    assert Path(platform.__file__).is_relative_to(sys.base_prefix)


def test_tests_hold_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_report_and_experiment_commands_start_without_torch() -> None:
    code = (
        "import sys; import ranklift.cli; ranklift.cli.command();"
        "from ranklift.cli import report, experiment;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
