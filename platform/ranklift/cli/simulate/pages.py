"""What calibration came to, for a terminal or as an HTML page that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ranklift.cli.output import out
from ranklift.cli.simulate.charts import Chart
from ranklift.lift.render.as_table import grids_table
from ranklift.lift.render.grid import Grid
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Page:
    """Sentences, tables, and plots with how to read them."""

    title: str
    lead: tuple[str, ...]
    grids: tuple[Grid, ...]
    charts: tuple[Chart, ...] = ()
    legend: str = ""


def check_page(output: Path | None) -> None:
    """Refuse a file that cannot hold the page, before hours of work.

    Raises:
        InvalidRequest: it is no HTML, or its folder is not there.
    """
    if output is None:
        return
    if output.suffix.lower() not in (".html", ".htm"):
        raise InvalidRequest.of("output", f'"{output}" is no .html file; the page is HTML')
    if not output.parent.is_dir():
        raise InvalidRequest.of("output", f'there is no folder "{output.parent}"; make it first')


def show(page: Page, output: Path | None) -> None:
    """Print the page, and write it with its plots to a file if there is one.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    out.print(page.title, style="bold", markup=False, soft_wrap=True)
    for sentence in page.lead:
        out.print(sentence, markup=False, soft_wrap=True)
    out.print()
    out.print(grids_table(page.grids))
    if output is None:
        return
    try:
        output.write_text(to_html(page), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest.of(
            "output", f"{output} cannot be written: {error.strerror}"
        ) from error
    out.print(f"written to {output}", markup=False, soft_wrap=True)


def to_html(page: Page) -> str:
    """Return the page, its styles and drawings inline."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    own = resources.files("ranklift.cli.simulate").joinpath("calibration.html.j2")
    css = resources.files("ranklift.lift.render").joinpath("report.css").read_text("utf-8")
    template = environment.from_string(own.read_text("utf-8"))
    return template.render(
        page=page,
        style=Markup(css),  # noqa: S704 - our file
        version=version("ranklift"),
    )
