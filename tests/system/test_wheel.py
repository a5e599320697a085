"""What `pip install` gives works without the checkout: every part, and the migrations."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "site")
    return folder / "site"


def test_the_registry_is_created_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import ranklift.migrations, ranklift.v1.ranking_pb2, ranklift.cli, sys;"
        f"assert ranklift.migrations.__file__.startswith({str(installed)!r});"
        "sys.argv[0] = 'ranklift'; ranklift.cli.main()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "db", "upgrade", "--home", str(tmp_path / "home")],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "home" / "registry.db").is_file()


def test_the_wheel_holds_every_part_and_its_templates(installed: Path) -> None:
    package = installed / "ranklift"
    assert not (package / "__init__.py").exists()
    parts = {path.name for path in package.iterdir() if path.is_dir()}
    assert parts >= {
        "cli", "clicks", "events", "inference", "lift", "migrations", "rankers", "retrain",
        "simulator", "store", "traffic", "v1",
    }  # fmt: skip
    assert (package / "lift" / "render" / "report.html.j2").is_file()
    assert (package / "v1" / "ranking.proto").is_file()
