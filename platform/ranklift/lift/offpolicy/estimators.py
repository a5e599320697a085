"""The estimators by name, each with what must be true for it to be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ranklift.lift.offpolicy import clicked, direct, position, robust, weighted
from ranklift.lift.offpolicy.models import ClickModel
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Policy
from ranklift.lift.offpolicy.terms import Terms
from ranklift.lift.values import Unavailable

# Of pages, candidate and the largest weight to keep, the terms.
Weighting = Callable[[LoggedPages, Policy, float | None], Terms | Unavailable]
# The same with a click model.
Modelling = Callable[[LoggedPages, Policy, ClickModel, float | None], Terms | Unavailable]


@dataclass(frozen=True, slots=True)
class Weighted:
    """An estimator that knows the logger's propensities and no click model."""

    name: str
    assumption: str
    terms: Weighting


@dataclass(frozen=True, slots=True)
class Modelled:
    """An estimator with a click model.

    Where the propensities carry the estimate (`corrected`), the model's error is of second order
    and the linearised interval holds; elsewhere the model must be fitted again to show its error.
    """

    name: str
    assumption: str
    terms: Modelling
    corrected: bool = False


Estimator = Weighted | Modelled

_PROPENSITIES = "The logger's propensities are right and cover the candidate's lists"
ESTIMATORS: Mapping[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Modelled(
            "direct",
            "The click model is right.",
            lambda pages, target, model, largest: direct.direct(pages, target, model),
        ),
        Weighted(
            "ips",
            f"{_PROPENSITIES}; any behaviour.",
            lambda pages, target, largest: weighted.whole_list(pages, target, largest=largest),
        ),
        Weighted(
            "snips",
            f"{_PROPENSITIES}; any behaviour. Biased by about 1 / effective units.",
            lambda pages, target, largest: weighted.whole_list(
                pages, target, self_normalised=True, largest=largest
            ),
        ),
        Weighted(
            "independent_ips",
            f"{_PROPENSITIES} rank by rank; a reward depends on its own document and rank alone.",
            lambda pages, target, largest: weighted.by_position(pages, target, largest=largest),
        ),
        Weighted(
            "independent_snips",
            f"{_PROPENSITIES} rank by rank; a reward depends on its own document and rank alone. "
            "Biased by about 1 / effective units.",
            lambda pages, target, largest: weighted.by_position(
                pages, target, self_normalised=True, largest=largest
            ),
        ),
        Weighted(
            "cascade_ips",
            f"{_PROPENSITIES} from the top; a reward depends on nothing below it.",
            lambda pages, target, largest: weighted.by_prefix(pages, target, largest=largest),
        ),
        Weighted(
            "cascade_snips",
            f"{_PROPENSITIES} from the top; a reward depends on nothing below it. "
            "Biased by about 1 / effective units.",
            lambda pages, target, largest: weighted.by_prefix(
                pages, target, self_normalised=True, largest=largest
            ),
        ),
        Modelled(
            "doubly_robust",
            f"{_PROPENSITIES}; any behaviour.",
            lambda pages, target, model, largest: robust.doubly_robust(
                pages, target, model, largest=largest
            ),
            corrected=True,
        ),
        Modelled(
            "cascade_doubly_robust",
            f"{_PROPENSITIES} from the top; a reward depends on nothing below it.",
            lambda pages, target, model, largest: robust.cascade_doubly_robust(
                pages, target, model, largest=largest
            ),
            corrected=True,
        ),
        Modelled(
            "position_based",
            "Examination depends on the rank alone, and its curve is right.",
            lambda pages, target, model, largest: position.position_based(
                pages, target, model, largest=largest
            ),
        ),
        Modelled(
            "position_based_doubly_robust",
            "Examination depends on the rank alone, and its curve is right.",
            lambda pages, target, model, largest: position.position_based_doubly_robust(
                pages, target, model, largest=largest
            ),
        ),
        Modelled(
            "click_based",
            "The click model is right about how likely documents are clicked; what follows a "
            "click depends on the document alone.",
            lambda pages, target, model, largest: clicked.click_based(
                pages, target, model, largest=largest
            ),
        ),
        Modelled(
            "click_based_doubly_robust",
            "The click model is right about how likely documents are clicked; what follows a "
            "click depends on the document alone.",
            lambda pages, target, model, largest: clicked.click_based_doubly_robust(
                pages, target, model, largest=largest
            ),
        ),
    )
}
