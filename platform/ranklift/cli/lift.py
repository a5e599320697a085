"""`ranklift lift`: the lift in a log that ranklift did not write; no server, no registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.report_output import Format, FormatOption, OutputOption, check_output, write
from ranklift.store.analysis import Horizon

if TYPE_CHECKING:
    import polars as pl


def lift(
    pages: Annotated[
        str, typer.Argument(help="Pages: Parquet, a folder or pattern of it, or CSV.")
    ],
    control: Annotated[str, typer.Option(help="The arm that others are compared with.")],
    clicks: Annotated[
        str | None, typer.Option(help="Clicks, one a row, when the pages do not count them.")
    ] = None,
    primary: Annotated[str, typer.Option(help="The metric that decides.")] = "page_ctr",
    secondary: Annotated[
        str, typer.Option(help="Metrics beside it, corrected for their number: a,b.")
    ] = "",
    guardrails: Annotated[
        str, typer.Option(help="Metrics with the part of control's value they may lose: a=0.01.")
    ] = "",
    segments: Annotated[str, typer.Option(help="Columns to break the lift down by: a,b.")] = "",
    shares: Annotated[
        str, typer.Option(help="Planned shares: control=0.5,student=0.5; equal when not given.")
    ] = "",
    trigger: Annotated[
        str | None,
        typer.Option(help="A column of flags: only pages on which the arms' rankings differ."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="A TOML, JSON or YAML file that declares more metrics.")
    ] = None,
    horizon: Annotated[
        Horizon | None,
        typer.Option(help="When to act. Default: group_sequential if a size is planned."),
    ] = None,
    planned_units: Annotated[
        int, typer.Option(min=0, help="Exposed units over all arms at the end; 0: not planned.")
    ] = 0,
    alpha: Annotated[float, typer.Option(help="Two-sided level of the tests.")] = 0.05,
    style: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Report the lift in a log of pages: user_id, arm, timestamp, clicked or clicks, dwell_seconds.

    docs/lift-report.md describes the columns. An invalid report says so and exits with 0 like any
    other: the report was made.

    Example: `ranklift lift pages.parquet --control bm25 --segments device --format html`
    """
    from ranklift.lift.analysis import analyze
    from ranklift.lift.metric_file import read_metric_file
    from ranklift.store.analysis import AnalysisPlan, Guardrail

    check_output(style, output)
    margins = _numbers("guardrails", guardrails)
    plan = AnalysisPlan(
        secondary_metrics=_names(secondary),
        guardrails=tuple(Guardrail(metric, margin) for metric, margin in margins.items()),
        metrics=() if metrics is None else read_metric_file(metrics),
        horizon=horizon,
        planned_units=planned_units,
        alpha=alpha,
    )
    report = analyze(
        _scan("pages", pages),
        None if clicks is None else _scan("clicks", clicks),
        control=control,
        primary=primary,
        plan=plan,
        segments=_names(segments),
        shares=_numbers("shares", shares) or None,
        trigger=trigger,
        name="log" if _is_pattern(pages) else Path(pages).stem,
    )
    write(report, style, output)


def _scan(field: str, source: str) -> pl.LazyFrame:
    """Return a log as a lazy frame.

    Raises:
        InvalidRequest: there is no such file, or it is neither Parquet nor CSV.
    """
    import polars as pl

    from ranklift.v1.errors import InvalidRequest

    if not _is_pattern(source) and not Path(source).exists():
        raise InvalidRequest.of(field, f'there is no file "{source}"')
    try:
        # All rows decide a column's type: the first ones may be empty.
        frame = (
            pl.scan_csv(source, try_parse_dates=True, infer_schema_length=None)
            if source.lower().endswith(".csv")
            else pl.scan_parquet(source)
        )
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRequest.of(
            field, f'"{source}" cannot be read as Parquet or CSV: {reason}'
        ) from error
    return frame


def _is_pattern(source: str) -> bool:
    return any(sign in source for sign in "*?[")


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name for part in listed.split(",") if (name := part.strip()))


def _numbers(field: str, listed: str) -> dict[str, float]:
    """Return the numbers by name of "control=0.5,student=0.5".

    Raises:
        InvalidRequest: a part is no name with a number, or a name comes twice.
    """
    from ranklift.v1.errors import InvalidRequest

    numbers: dict[str, float] = {}
    for part in _names(listed):
        name, equals, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise InvalidRequest.of(field, f'"{part}" is no name with a number, e.g. control=0.5')
        if name.strip() in numbers:
            raise InvalidRequest.of(field, f'"{name.strip()}" is named twice')
        numbers[name.strip()] = value
    return numbers
