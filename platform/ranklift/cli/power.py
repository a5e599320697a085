"""`ranklift power`: how many units, and days, show a lift, from a log of real traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.output import out

if TYPE_CHECKING:
    import polars as pl

    from ranklift.lift.resampled_power import ResampledPower
    from ranklift.lift.values import Unavailable
    from ranklift.store.analysis import Metric


def power(
    pages: Annotated[str, typer.Argument(help="Pages of usual traffic, as Parquet.")],
    lift: Annotated[float, typer.Option(help="The relative lift to show; 0.01 is 1 %.")],
    metric: Annotated[str, typer.Option(help="The metric that decides.")] = "page_ctr",
    clicks: Annotated[
        str | None, typer.Option(help="Clicks, one a row, when the pages do not count them.")
    ] = None,
    power: Annotated[float, typer.Option(help="The chance to find the lift.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Two-sided level of the test.")] = 0.05,
    simulate: Annotated[
        int, typer.Option(min=0, help="Check with so many experiments drawn from the log.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of these experiments.")] = 0,
) -> None:
    """Plan an experiment with two equal arms: units needed, days, and the lift a log can show.

    The log has the columns of `ranklift lift`; `arm` is not needed. Columns pre_* reduce variance,
    as they will in the report.

    Example: `ranklift power pages.parquet --metric page_ctr --lift 0.005`
    """
    import polars as pl

    from ranklift.lift.columns import columns_of
    from ranklift.lift.comparing import method_for, values_of
    from ranklift.lift.moments import Moments
    from ranklift.lift.planning import minimal_lift, power_at, relative_variance, units_needed
    from ranklift.lift.resampled_power import resampled_power

    # What is wrong with the numbers should not wait for a large log.
    units_needed(1.0, lift, alpha=alpha, power=power)
    planned, units = _units(pages, clicks, metric)
    method = method_for(units, [planned], confidence_level=1 - alpha, covariates=True)
    values, names = values_of(units, planned, method), method.columns(planned)
    moments, covariates = Moments.of(names, values), method.covariates.get(metric, ())
    plain = _known(relative_variance(moments, *columns_of(planned)))
    variance = _known(relative_variance(moments, *columns_of(planned), covariates))
    needed = units_needed(variance, lift, alpha=alpha, power=power)
    smallest = minimal_lift(variance, units.height, alpha=alpha, power=power)
    now = power_at(variance, lift, units.height, alpha=alpha)
    out.print(f"{planned.title}: {planned.definition}", soft_wrap=True)
    out.print(f"The log has {units.height:,} units. Two equal arms, alpha {alpha:g}.")
    if covariates:
        out.print(f"Covariates leave {variance / plain:.0%} of the variance.")
    out.print(f"Units for a lift of {lift:+.3g} with power {power:.0%}: [bold]{needed:,}[/]")
    out.print(_days(units, needed), soft_wrap=True)
    out.print(f"With as many units as the log: power {now:.1%}, minimal lift {smallest:.2%}.")
    if simulate:
        columns = pl.DataFrame(values, schema=list(names))
        found = resampled_power(
            columns,
            *columns_of(planned),
            lift,
            covariates=covariates,
            alpha=alpha,
            replicates=simulate,
            seed=seed,
        )
        out.print(_simulated(found), soft_wrap=True)


def _units(pages: str, clicks: str | None, name: str) -> tuple[Metric, pl.DataFrame]:
    """Return the metric of this name, and the sums of the units that were shown any page.

    Raises:
        InvalidRequest: the metric is unknown, or the log lacks what it is made of.
    """
    import narwhals as nw
    import polars as pl

    from ranklift.lift.columns import sums_of, supported
    from ranklift.lift.flat import read_flat
    from ranklift.lift.frames import lazy_frame
    from ranklift.lift.metrics import METRICS
    from ranklift.lift.sums import unit_sums
    from ranklift.v1.errors import InvalidRequest

    if name not in METRICS:
        raise InvalidRequest.of("metric", f'"{name}" is no metric; there are {", ".join(METRICS)}')
    metric = METRICS[name]
    table = lazy_frame(pages, "pages")
    # Whatever arms the log has, its units are those of the experiment to come.
    log = read_flat(table.with_columns(arm=nw.lit("log")), clicks)
    if not supported(metric, log.measures):
        missing = ", ".join(one for one in sums_of(metric) if one not in log.measures)
        raise InvalidRequest.of("metric", f'"{name}" needs {missing}, which the log cannot tell')
    units = unit_sums(log.rows, measures=log.measures, constants=log.constants)
    return metric, units.filter(pl.col("pages") > 0)


def _known(variance: float | Unavailable) -> float:
    from ranklift.v1.errors import InvalidRequest

    if isinstance(variance, float):
        return variance
    raise InvalidRequest.of("pages", f"cannot be planned from: {variance.reason}")


def _days(units: pl.DataFrame, needed: int) -> str:
    from ranklift.lift.duration import cumulative_units, duration
    from ranklift.lift.values import Unavailable

    if "first_page_time" not in units.columns:
        return "Days: the log has no times to tell."
    days = duration(cumulative_units(units), needed)
    if isinstance(days, Unavailable):
        return f"Days with all of this traffic: {days.reason}."
    likely = "more than the log can tell" if days.likely is None else f"about {days.likely:,}"
    most = "" if days.most is None else f", at most {days.most:,}"
    return f"Days with all of this traffic: [bold]{likely}[/], at least {days.least:,}{most}."


def _simulated(found: ResampledPower | Unavailable) -> str:
    from ranklift.lift.resampled_power import ResampledPower

    if not isinstance(found, ResampledPower):
        return f"No experiment drawn from it can be read: {found.reason}."
    lower, upper = found.power_interval.lower, found.power_interval.upper
    significant = (
        f"Of {found.replicates:,} experiments drawn from it {found.power:.1%} ({lower:.1%} to "
        f"{upper:.1%}) are significant"
    )
    if found.type_s is None or found.type_m is None:
        return f"{significant}."
    return (
        f"{significant}; of these {found.type_s:.1%} have the wrong sign, and they exaggerate the "
        f"lift {found.type_m:.2f} times."
    )
