"""A run's page in a folder: Markdown to commit, HTML with plots, JSON to compute with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ranklift.cli.simulate.pages import Page, show
from ranklift.lift.render.as_markdown import escaped, grid_markdown
from ranklift.v1.errors import InvalidRequest

NAME = "reproduce"
PACKAGES = ("torch", "transformers", "numpy")


def write_report(page: Page, values: Mapping[str, Any], folder: Path, command: str) -> None:
    """Print the page, and write it into `folder` as Markdown, HTML and JSON.

    Raises:
        InvalidRequest: a file cannot be written.
    """
    # In JSON there is no time: the same run gives the same file.
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{NAME}.json").write_text(text, "utf-8")
        (folder / f"{NAME}.md").write_text(markdown(page, footer(command)), "utf-8")
    except OSError as error:
        raise InvalidRequest.of("out", f"{folder} cannot be written: {error.strerror}") from error
    show(page, folder / f"{NAME}.html")


def markdown(page: Page, footer: str) -> str:
    """Return the page as Markdown, without its plots."""
    lead = "\n\n".join(escaped(sentence) for sentence in page.lead)
    tables = "\n".join(f"## {escaped(grid.title)}\n\n{grid_markdown(grid)}" for grid in page.grids)
    return f"# {escaped(page.title)}\n\n{lead}\n\n{tables}\n---\n{footer}\n"


def footer(command: str) -> str:
    """Return what was run, when and on what."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Command: `{command}`, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}, {packages}."
    )
