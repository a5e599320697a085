"""`ranklift forecast`: what an arm would bring, before it is launched, and how that turned out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Home
from ranklift.cli.output import out

if TYPE_CHECKING:
    import polars as pl

    from ranklift.lift.forecasts import Score
    from ranklift.lift.offpolicy.estimate import Estimate, Fit
    from ranklift.settings import Settings
    from ranklift.store.forecasts import Forecast
    from ranklift.store.registry import Registry

app = typer.Typer(no_args_is_help=True, help="Forecast an arm's lift from logged pages.")


class ClickModelKind(StrEnum):
    """What is assumed of users where an estimator needs to assume something."""

    POSITION = "position"
    CASCADE = "cascade"


@app.command(
    epilog="Example: ranklift forecast make title-boost treatment --rankings treatment.parquet"
)
def make(
    experiment: Annotated[str, typer.Argument(help="The experiment's name.")],
    arm: Annotated[str, typer.Argument(help="The arm to forecast.")],
    rankings: Annotated[
        Path,
        typer.Option(help="Parquet: query (or impression_id) and documents, as the arm ranks."),
    ],
    log: Annotated[
        Path | None,
        typer.Option(
            help="Parquet: unit_id, query, documents, clicks, one row a page, and propensities "
            "where known. ranklift's own log when not given."
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(help="clicks_per_page, page_ctr, satisfied_click_rate or dwell_per_page."),
    ] = "clicks_per_page",
    estimator: Annotated[
        str, typer.Option(help="How to estimate; each rests on another assumption.")
    ] = "position_based_doubly_robust",
    click_model: Annotated[
        ClickModelKind, typer.Option(help="What the click model assumes of users.")
    ] = ClickModelKind.POSITION,
    examination: Annotated[
        str,
        typer.Option(
            help='How often each rank is looked at: "fit" to learn it from the log, "default" '
            "for the curve of a large web-search log, or numbers such as 1,0.7,0.5."
        ),
    ] = "fit",
    clip: Annotated[
        float | None, typer.Option(help="The largest weight; it is stated with the estimate.")
    ] = None,
    explored: Annotated[
        bool,
        typer.Option(
            "--explored",
            help="Only pages of ranklift's own log whose order was explored, with propensities: "
            "what ips, snips, independent_ips and independent_snips need.",
        ),
    ] = False,
    home: Home = None,
) -> None:
    """Estimate what an arm would bring and enter the forecast in the ledger.

    The log is every page until now, whoever ranked it: forecast before the experiment starts.
    """
    from ranklift.cli.composition import registry_of
    from ranklift.lift.offpolicy.estimate import estimate
    from ranklift.lift.offpolicy.estimators import ESTIMATORS
    from ranklift.lift.offpolicy.read import read
    from ranklift.lift.values import Unavailable
    from ranklift.settings import load_settings
    from ranklift.v1.errors import InvalidRequest, NotReady

    if estimator not in ESTIMATORS:
        raise InvalidRequest.of("estimator", f'"{estimator}" is none of {", ".join(ESTIMATORS)}')
    if explored and log is not None:
        raise InvalidRequest.of("explored", "is for ranklift's own log; leave out --log")
    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        unit = registry.experiments.get(experiment).experiment.unit
        frame = _events(settings, metric, unit, explored) if log is None else _parquet("log", log)
        pages, target = read(frame, _parquet("rankings", rankings), metric=metric)
        found = estimate(
            ESTIMATORS[estimator], pages, target, fit=_fit(click_model, examination), clip=clip
        )
        if isinstance(found, Unavailable):
            raise NotReady.of("", f"no forecast: {found.reason}")
        recorded = registry.forecasts.record(_forecast(experiment, arm, found))
    out.print(_facts(found))
    out.print(f"entered as forecast {recorded.number} of {experiment}, arm {arm}")


@app.command("list", epilog="Example: ranklift forecast list title-boost")
def list_(
    experiment: Annotated[str, typer.Argument(help="One experiment; all when not given.")] = "",
    home: Home = None,
) -> None:
    """Show forecasts beside what the experiments then measured, and how each estimator did."""
    from ranklift.cli.composition import registry_of
    from ranklift.lift.forecasts import calibration
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        scores = _scores(registry, settings, experiment)
    if not scores:
        out.print("no forecasts yet")
        return
    out.print(_score_table(scores))
    kept = calibration(scores)
    if kept:
        table = Table("estimator", "scored", "agree", "mean error", "rms error", box=None)
        for one in kept:
            table.add_row(
                one.estimator,
                str(one.scored),
                f"{one.agreeing} of {one.comparable}",
                f"{one.mean_error:+.2%}",
                f"{one.root_mean_square_error:.2%}",
            )
        out.print(table)


def _events(settings: Settings, metric: str, unit: str, explored: bool) -> pl.DataFrame:
    from ranklift.cli.composition import files_of
    from ranklift.events.frames import read_events
    from ranklift.lift.offpolicy.read import of_events

    events = read_events(settings.home, files_of(settings))
    return of_events(
        events.pages,
        events.clicks,
        events.dwells,
        metric=metric,
        unit=f"{unit}_id",
        explored=explored,
    )


def _parquet(field: str, path: Path) -> pl.DataFrame:
    import polars as pl

    from ranklift.v1.errors import InvalidRequest

    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = str(error).splitlines()[0]
        raise InvalidRequest.of(field, f'"{path}" cannot be read as Parquet: {why}') from error


def _fit(kind: ClickModelKind, examination: str) -> Fit:
    from functools import partial

    from ranklift.lift.offpolicy.cascade_model import fit_cascade
    from ranklift.lift.offpolicy.position_model import default_examination, fit_position
    from ranklift.v1.errors import InvalidRequest

    if kind is ClickModelKind.CASCADE:
        return fit_cascade
    if examination == "fit":
        return fit_position
    if examination == "default":
        return lambda pages: fit_position(pages, default_examination(pages.ranks))
    try:
        given = tuple(float(number) for number in examination.split(","))
    except ValueError:
        raise InvalidRequest.of(
            "examination", f'"{examination}" is neither fit, default nor numbers such as 1,0.7,0.5'
        ) from None
    return partial(fit_position, examination=given)


def _forecast(experiment: str, arm: str, found: Estimate) -> Forecast:
    from ranklift.store.forecasts import Forecast

    return Forecast(
        experiment=experiment,
        arm=arm,
        metric=found.metric,
        estimator=found.estimator,
        lift=found.relative_lift,
        lower=found.relative_lift_interval.lower,
        upper=found.relative_lift_interval.upper,
        confidence_level=found.confidence_level,
        effective_units=found.effective_units,
        support=found.support,
        log_digest=found.digest,
    )


def _facts(found: Estimate) -> Table:
    facts = Table.grid(padding=(0, 2))
    interval = found.relative_lift_interval
    cut = f" (weights above {found.clip:g} cut: {found.clipped_share:.1%})" if found.clip else ""
    for label, value in (
        ("metric", found.metric),
        ("forecast lift", f"{found.relative_lift:+.2%}"),
        (
            f"{found.confidence_level:.0%} interval",
            f"{interval.lower:+.2%} to {interval.upper:+.2%}",
        ),
        ("logged, candidate", f"{found.logged_value:.4g}, {found.value:.4g} per page"),
        ("rests on", f"{found.pages} pages of {found.units} units"),
        ("weights count as", f"{found.effective_units:.0f} units{cut}"),
        ("largest weight", f"{found.largest_weight:.3g}"),
        ("log covers", f"{found.support:.1%} of what the arm shows"),
        ("estimator", found.estimator),
        ("right if", found.assumption),
    ):
        facts.add_row(f"[dim]{label}[/]", value)
    return facts


def _scores(registry: Registry, settings: Settings, experiment: str) -> tuple[Score, ...]:
    from ranklift.cli.composition import files_of
    from ranklift.events.frames import read_events
    from ranklift.lift.experiment import lift_report
    from ranklift.lift.forecasts import score
    from ranklift.v1.errors import NotReady

    recorded = registry.forecasts.list(experiment)
    reports = []
    files = files_of(settings)
    for name in sorted({one.forecast.experiment for one in recorded}):
        try:
            reports.append(
                lift_report(registry.experiments.get(name), read_events(settings.home, files))
            )
        except NotReady:
            continue  # no page yet: `score` says so of its forecasts
    return score(recorded, reports)


def _score_table(scores: tuple[Score, ...]) -> Table:
    from ranklift.lift.forecasts import Outcome

    table = Table("experiment", "arm", "metric", "estimator", "forecast", "measured", box=None)
    for one in scores:
        forecast, outcome = one.recorded.forecast, one.outcome
        if isinstance(outcome, Outcome):
            measured = outcome.measured_interval
            text = f"{outcome.measured_lift:+.2%} ({measured.lower:+.2%} to {measured.upper:+.2%})"
        else:
            text = outcome.reason
        table.add_row(
            forecast.experiment,
            forecast.arm,
            forecast.metric,
            forecast.estimator,
            f"{forecast.lift:+.2%} ({forecast.lower:+.2%} to {forecast.upper:+.2%})",
            text,
        )
    return table
