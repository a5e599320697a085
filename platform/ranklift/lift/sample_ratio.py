"""Sample-ratio mismatch: do as many units meet each arm as planned, at every look?

A report may be looked at after every minute of traffic, and a chi-square test at 0.001 that is
repeated so often fails sound experiments. So the decision is that of a martingale which holds at
all looks together: Lindon and Malek 2022, "Anytime-Valid Inference for Multinomial Count Data"
(arXiv 2011.03567). Measured with 2,000 looks at sound splits of 100,000 units: 0.03 % alarm, with
the chi-square 3.0 %. The price: a departure of about 4.4 standard errors is needed where a single
chi-square needs 3.3. One point at 100,000 units is found in 98 % of experiments, not in 99.9 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.special import chdtrc, gammaln, logsumexp

from ranklift.lift.moments import Floats
from ranklift.lift.values import Check

# False alarms cost an experiment: with 0.05 one sound report in twenty would be called invalid.
ALPHA = 0.001
# How tightly the alternatives lie around the plan, in units: the martingale is most sensitive when
# about ten times as many were counted. The mean of several is a martingale too, and with these two
# nothing is lost between a thousand and a million units.
CONCENTRATIONS = (100.0, 10_000.0)
# Fewer units than this in a day or a segment cannot show a mismatch, and would only dilute alpha.
MIN_CELL_UNITS = 100
# Cochran's rule for the chi-square approximation.
MIN_EXPECTED = 5.0
MAX_NAMED = 5


def log_evidence(
    counts: ArrayLike, shares: ArrayLike, concentrations: Sequence[float] = CONCENTRATIONS
) -> Floats:
    """Return the log of the evidence against a multinomial with these shares.

    `counts` has shape (..., arms), `shares`, shape (arms,), are positive and sum to 1. For one
    concentration A, with a_i = A theta_i, evidence is
    M = G(A) / G(A + n) prod_i G(a_i + n_i) / G(a_i) / theta_i^n_i  (G the gamma function),
    and with several it is their mean. If the shares are true, the chance that M ever reaches
    1 / alpha, however often one looks, is at most alpha.
    """
    n, theta = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    total = n.sum(axis=-1)
    logs = [
        gammaln(size)
        - gammaln(size + total)
        + (gammaln(size * theta + n) - gammaln(size * theta) - n * np.log(theta)).sum(axis=-1)
        for size in concentrations
    ]
    mean: Floats = logsumexp(logs, axis=0) - np.log(len(logs))
    return mean


def p_values_at_every_look(
    counts: ArrayLike,
    shares: ArrayLike,
    penalty: ArrayLike = 1.0,
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> Floats:
    """Return penalty / evidence, at most 1, of each row of counts (`log_evidence`).

    If the shares are true, the chance that it is ever below alpha is at most alpha / penalty.
    """
    logs = np.log(penalty) - log_evidence(counts, shares, concentrations)
    p_values: Floats = np.exp(np.minimum(0.0, logs))
    return p_values


def sample_ratio(units: Mapping[str, int], shares: Mapping[str, float]) -> Check:
    """Return the check of all assigned units, fallback-only ones too, against the planned shares.

    `p_value` is 1 / evidence, at most 1, and holds at every look. The detail also gives the
    p-value of Pearson's chi-square, sum of (O - E)^2 / E, which holds at one look only.
    """
    name = "sample_ratio"
    total = sum(units.values())
    if total == 0:
        return Check(name, True, None, "No units yet.")
    uninvited = [f'{units[arm]:,} in "{arm}"' for arm in shares if not shares[arm] and units[arm]]
    if uninvited:
        named = ", ".join(uninvited)
        return Check(name, False, 0.0, f"Units in an arm with a planned share of 0: {named}.")
    arms, theta = invited(shares)
    found = _split([units[arm] for arm in arms], arms, theta)
    if len(arms) < 2:
        return Check(name, True, None, f"{found}. A single arm has no ratio to check.")
    observed = np.array([units[arm] for arm in arms], dtype=np.float64)
    p_value = float(p_values_at_every_look(observed, theta))
    expected = total * theta
    once = ""
    if expected.min() >= MIN_EXPECTED:
        chi_square = float(np.sum((observed - expected) ** 2 / expected))
        once = f" A chi-square of this look alone: p = {chdtrc(len(arms) - 1, chi_square):.4g}."
    return Check(name, p_value >= ALPHA, p_value, f"{found}. p holds at every look.{once}")


def sample_ratio_by_day(usable: pl.DataFrame, shares: Mapping[str, float]) -> Check:
    """Return the check of the units by the day (UTC) of their first page.

    It finds a mismatch that came and went. The k-th day may spend alpha / (k (k + 1)), which adds
    up to alpha over any number of days, so that new days do not move the bounds of old ones.
    """
    name = "sample_ratio_by_day"
    if "first_page_time" not in usable.columns:
        return Check(name, True, None, "The log has no times: not checked.")
    day = pl.col("first_page_time").dt.date()
    counts = _count(usable.filter(day.is_not_null()), day, shares)
    number = (pl.col("cell") - pl.col("cell").min()).dt.total_days() + 1
    penalty = (number * (number + 1)).cast(pl.Float64)
    return _by_cell(name, "days", counts.with_columns(penalty=penalty), shares)


def sample_ratio_by_segment(
    usable: pl.DataFrame, shares: Mapping[str, float], segments: Sequence[str]
) -> Check:
    """Return the check of the units by the values of segment columns (Bonferroni over all values).

    It finds an arm that fails, say, in one browser. A null is a value of its own.
    """
    counts = pl.concat(
        _count(usable, pl.col(column), shares).with_columns(
            cell=pl.lit(f"{column}=") + pl.col("cell").cast(pl.String).fill_null("null")
        )
        for column in segments
    )
    tested = counts.filter(pl.col("units") >= MIN_CELL_UNITS).height
    penalty = pl.lit(float(tested))
    return _by_cell(
        "sample_ratio_by_segment", "segments", counts.with_columns(penalty=penalty), shares
    )


def _count(usable: pl.DataFrame, cell: pl.Expr, shares: Mapping[str, float]) -> pl.DataFrame:
    """Return a row per `cell` with its `units`, and those of each arm that was to get any."""
    arms, _ = invited(shares)
    return (
        usable.group_by(cell.alias("cell"), "arm")
        .len()
        .group_by("cell")
        .agg(pl.col("len").filter(pl.col("arm") == arm).sum().alias(arm) for arm in arms)
        .with_columns(units=pl.sum_horizontal(arms))
        .sort("cell")
    )


def _by_cell(name: str, what: str, counts: pl.DataFrame, shares: Mapping[str, float]) -> Check:
    """Return the check of each cell of `_count`, whose p-value is multiplied by its `penalty`."""
    arms, theta = invited(shares)
    large = pl.col("units") >= MIN_CELL_UNITS
    tested, small = counts.filter(large), counts.filter(~large)["cell"]
    left_out = ""
    if len(small):
        left_out = f" Fewer than {MIN_CELL_UNITS} units, not tested: {_named(small)}."
    if tested.is_empty() or len(arms) < 2:
        return Check(name, True, None, f"No {what} to test.{left_out}")
    observed = tested.select(arms).to_numpy()
    p_values = p_values_at_every_look(observed, theta, tested["penalty"].to_numpy())
    off = [
        f"{cell}: {_split(row, arms, theta)}"
        for cell, row, p in zip(tested["cell"], observed.tolist(), p_values, strict=True)
        if p < ALPHA
    ]
    detail = f"All {tested.height} {what} split as planned."
    if off:
        detail = f"{len(off)} of {tested.height} {what} do not split as planned: {_named(off)}."
    return Check(name, not off, float(p_values.min()), detail + left_out)


def invited(shares: Mapping[str, float]) -> tuple[list[str], Floats]:
    """Return the arms that were to get units at all, and their shares of these."""
    arms = [arm for arm, share in shares.items() if share > 0]
    theta = np.array([shares[arm] for arm in arms])
    return arms, theta / theta.sum()


def _split(counts: Sequence[int], arms: Sequence[str], theta: Floats) -> str:
    total = sum(counts)
    return ", ".join(
        f"{arm} {count / total:.2%} of {total:,} units (planned {share:.2%})"
        for arm, count, share in zip(arms, counts, theta, strict=True)
    )


def _named(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    more = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return "; ".join(texts[:MAX_NAMED]) + more
