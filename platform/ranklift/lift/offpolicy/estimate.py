"""From terms to a forecast: value, relative lift, unit-clustered intervals, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ranklift.lift.offpolicy.estimators import Estimator, Modelled
from ranklift.lift.offpolicy.models import ClickModel
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Ints, Policy
from ranklift.lift.offpolicy.position_model import fit_position
from ranklift.lift.offpolicy.terms import (
    Support,
    Terms,
    effective_units,
    influence,
    logged_terms,
    standard_error,
    support,
)
from ranklift.lift.values import Interval, Unavailable
from ranklift.v1.errors import InvalidRequest

# How a click model comes from pages; called again on parts of them where its error matters.
Fit = Callable[[LoggedPages], ClickModel | Unavailable]
# Groups of the jackknife: enough for an interval, few enough to fit a click model for each.
GROUPS = 20
# A mean weight this many standard errors above 1 is no chance: about 1 in 2,000.
WRONG_PROPENSITIES = 3.29
# The mean weight's own error is forgiven as far as a 95 % interval goes.
FORGIVEN = 1.96
# Past e^20 the interval of a lift says nothing, and further out exp overflows.
MAX_LOG_HALF_WIDTH = 20.0


@dataclass(frozen=True, slots=True)
class Demands:
    """What an estimate must rest on: as many units as equally weighted ones, and such a share of
    what the candidate shows."""

    effective_units: float = 50.0
    support: float = 0.9


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the candidate would bring per page, and the forecast of its lift over the log.

    Values are rewards per page, in the unit of `metric`. `support` is the share of what the
    candidate shows that the log can speak for, `largest_weight` the largest importance weight
    that was used, `clipped_share` the share of weights cut at `clip`. `digest` identifies the log.
    """

    estimator: str
    assumption: str
    metric: str
    value: float
    interval: Interval
    standard_error: float
    logged_value: float
    relative_lift: float
    relative_lift_interval: Interval
    confidence_level: float
    pages: int
    units: int
    effective_units: float
    largest_weight: float
    support: float
    clip: float | None
    clipped_share: float
    digest: str


def estimate(
    estimator: Estimator,
    pages: LoggedPages,
    target: Policy,
    *,
    fit: Fit = fit_position,
    clip: float | None = None,
    demands: Demands = Demands(),
    confidence_level: float = 0.95,
) -> Estimate | Unavailable:
    """Return what the candidate `target` would bring, or in one line why that cannot be said.

    Units, not pages, are independent. The interval is linearised, or where a click model carries
    the estimate, a jackknife that leaves out a twentieth of the units and fits the model again.
    Candidate and log are measured on the same units, so the interval of their ratio takes the
    covariance in: (1 + L) exp(+-q se(log ratio)) - 1, with the t quantile q.

    Raises:
        InvalidRequest: `clip` is not positive, `confidence_level` is outside (0, 1), or the
            candidate and the log differ in pages or ranks.
    """
    _check_arguments(pages, target, clip, confidence_level)
    units = np.unique(pages.units, return_inverse=True)[1]
    number = int(units.max()) + 1
    if number < 2:
        return Unavailable(f"{number} unit, at least 2 are needed")
    terms = _terms(estimator, pages, target, fit, clip)
    if isinstance(terms, Unavailable):
        return terms
    effective, found = effective_units(terms, units), support(terms, units)
    refused = _refusal(effective, found, demands)
    if refused is not None:
        return refused
    logged = logged_terms(pages)
    if not logged.value > 0:
        return Unavailable(f"the log brought {logged.value:g} per page: no lift relative to it")
    if not terms.value > 0:
        return Unavailable(f"the candidate is estimated at {terms.value:g} per page: too few pages")

    if isinstance(estimator, Modelled) and not estimator.corrected:
        errors = _jackknife(estimator, pages, target, fit, clip, units)
        if isinstance(errors, Unavailable):
            return errors
        error, log_error, freedom = errors
    else:
        of_candidate, of_log = influence(terms, units), influence(logged, units)
        error = standard_error(of_candidate)
        log_error = standard_error(of_candidate / terms.value - of_log / logged.value)
        freedom = number - 1
    quantile = float(stdtrit(freedom, (1 + confidence_level) / 2))
    if quantile * log_error > MAX_LOG_HALF_WIDTH:
        return Unavailable("too few units: the interval of the lift has no upper end")
    ratio = terms.value / logged.value
    return Estimate(
        estimator=estimator.name,
        assumption=estimator.assumption,
        metric=pages.metric,
        value=terms.value,
        interval=Interval(terms.value - quantile * error, terms.value + quantile * error),
        standard_error=error,
        logged_value=logged.value,
        relative_lift=ratio - 1,
        relative_lift_interval=Interval(
            ratio * math.exp(-quantile * log_error) - 1, ratio * math.exp(quantile * log_error) - 1
        ),
        confidence_level=confidence_level,
        pages=len(units),
        units=number,
        effective_units=effective,
        largest_weight=float(terms.weights[terms.counted].max()),
        support=found.share,
        clip=clip,
        clipped_share=terms.clipped,
        digest=pages.digest,
    )


def _check_arguments(
    pages: LoggedPages, target: Policy, clip: float | None, confidence_level: float
) -> None:
    if not 0 < confidence_level < 1:
        raise InvalidRequest.of("confidence_level", f"{confidence_level} is not in (0, 1)")
    if clip is not None and not clip > 0:
        raise InvalidRequest.of("clip", f"{clip} must be a positive weight")
    if len(target.context) != len(pages.units) or target.ranks != pages.ranks:
        raise InvalidRequest.of(
            "target",
            f"{len(target.context)} pages of {target.ranks} ranks; the log has "
            f"{len(pages.units)} of {pages.ranks}",
        )
    if target.lists.max() >= pages.pairs:
        raise InvalidRequest.of("target", f"names pair {target.lists.max()}, of {pages.pairs}")


def _terms(
    estimator: Estimator, pages: LoggedPages, target: Policy, fit: Fit, clip: float | None
) -> Terms | Unavailable:
    if not isinstance(estimator, Modelled):
        return estimator.terms(pages, target, clip)
    model = fit(pages)
    if isinstance(model, Unavailable):
        return model
    return estimator.terms(pages, target, model, clip)


def _refusal(effective: float, found: Support, demands: Demands) -> Unavailable | None:
    if effective < demands.effective_units:
        return Unavailable(
            f"the weights count as {effective:.1f} units, at least {demands.effective_units:g} are "
            "needed: the log hardly shows what the candidate would"
        )
    if found.share + FORGIVEN * found.error < demands.support:
        return Unavailable(
            f"the log covers {found.share:.1%} of what the candidate shows, at least "
            f"{demands.support:.0%} is needed"
        )
    if found.sampled and found.share - WRONG_PROPENSITIES * found.error > 1:
        return Unavailable(
            f"the mean weight is {found.share:.3f}, must be 1: the propensities are not the "
            "logger's"
        )
    return None


def _jackknife(
    estimator: Modelled,
    pages: LoggedPages,
    target: Policy,
    fit: Fit,
    clip: float | None,
    units: Ints,
) -> tuple[float, float, int] | Unavailable:
    """Return the standard errors of value and of log(value / logged value), and their freedom.

    Kott 2001, "The delete-a-group jackknife" (Journal of Official Statistics 17): with G groups
    of units, variance (G - 1) / G sum (estimate without the group - their mean)^2.
    """
    groups = min(GROUPS, int(units.max()) + 1)
    values, logs = np.empty(groups), np.empty(groups)
    for group in range(groups):
        kept = units % groups != group
        rest, candidate = pages.of_pages(kept), target.of_pages(kept)
        terms = _terms(estimator, rest, candidate, fit, clip)
        if isinstance(terms, Unavailable):
            return Unavailable(f"without a few of the units there is no estimate: {terms.reason}")
        values[group] = terms.value
        logs[group] = logged_terms(rest).value
    if not ((values > 0) & (logs > 0)).all():
        return Unavailable("without a few of the units nothing is left: too few units")
    factor = (groups - 1) / groups
    errors = (
        math.sqrt(factor * ((x - x.mean()) ** 2).sum()) for x in (values, np.log(values / logs))
    )
    return next(errors), next(errors), groups - 1
