"""What every click model offers: browsing, which `sample`s and predicts, and a fit to a log.

A model is a way of browsing (which ranks are looked at, given what was clicked)
with an attractiveness for each (query, document) pair, and, where it has one,
a satisfaction. Browsing is separate so that a world may take attractiveness from
elsewhere: grades, a ranker's scores, another log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Keys
from ranklift.clicks.log import NO_PAIR, ClickLog
from ranklift.clicks.results import Floats, Results, Sample, table


class Browsing(Protocol):
    """How users go through a page: a frozen value with the parameters of its model.

    `attractiveness` and `satisfaction` have shape (pages, ranks); padding has
    attractiveness 0. Models whose clicks do not depend on satisfaction draw it
    all the same (`Purpose.SATISFY`): a satisfied click is one in every world.
    """

    @property
    def ranks(self) -> int | None:
        """The longest page it is defined for; None: any."""

    def sample(self, results: Results) -> Sample:
        """Return what the users of some pages do, each result drawn from its own key."""

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return P(click at the rank | clicks above it), shape (pages, ranks)."""

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank) whatever is clicked above, shape (pages, ranks)."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Fitted numbers with their standard errors, both of one shape.

    An error is NaN where the log says nothing, and means nothing where the
    value is at the edge of its range (a pair never, or always, clicked).
    """

    value: Floats
    error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A click model as a log taught it.

    `parameters` are those of `browsing` by field name, with standard errors.
    `satisfaction` is None for models without one. `log_likelihood` is the sum
    over all results in nats, before each iteration and after the last one (one
    value where the fit is in closed form).
    """

    browsing: Browsing
    parameters: Mapping[str, Estimate]
    attractiveness: Estimate  # (pairs,)
    satisfaction: Estimate | None  # (pairs,)
    log_likelihood: Floats

    def sample(self, pair: NDArray[np.int32], keys: Keys) -> Sample:
        """Return clicks on pages of shape (pages, ranks); pairs as in a `ClickLog`.

        A key stands for the user, the page and the document.
        """
        return self.browsing.sample(table(keys, *self._of_pairs(pair)))

    def score(self, log: ClickLog) -> Score:
        """Return how well the model predicts a log, this one or another with the same pairs."""
        attractiveness, satisfaction = self._of_pairs(log.pair)
        return score_of(
            log,
            self.browsing.conditional(attractiveness, satisfaction, log.clicked),
            self.browsing.marginal(attractiveness, satisfaction),
        )

    def _of_pairs(self, pair: NDArray[np.int32]) -> tuple[Floats, Floats]:
        shown = pair != NO_PAIR
        satisfaction = self.satisfaction.value if self.satisfaction is not None else np.zeros(1)
        known = pair if self.satisfaction is not None else np.zeros_like(pair)
        return (
            np.where(shown, self.attractiveness.value[pair], 0.0),
            np.where(shown, satisfaction[known], 0.0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How well a model predicts a log.

    `log_likelihood` is the mean over results (not over pages) of log P(click or
    skip | clicks above), in nats; -inf where the model rules out what happened.
    Perplexity at a rank is 2^-(mean log2 P): 1 for a perfect model, 2 for a
    coin, NaN at a rank that was never shown. `perplexity` takes P whatever was
    clicked above, `conditional_perplexity` given the clicks above; the headline
    of either is its mean over ranks. Only the conditional one separates models
    on real logs.
    """

    log_likelihood: float
    perplexity: Floats  # (ranks,)
    conditional_perplexity: Floats  # (ranks,)


def score_of(log: ClickLog, conditional: Floats, marginal: Floats) -> Score:
    """Return the score of a model's probabilities of a click, each of shape (pages, ranks)."""
    weight = log.weight[:, None] * log.shown
    given = _log_probability(log.clicked, conditional)
    alone = _log_probability(log.clicked, marginal)
    total = np.where(weight > 0, weight * given, 0.0).sum()
    return Score(
        log_likelihood=float(total / weight.sum()),
        perplexity=_perplexity(weight, alone),
        conditional_perplexity=_perplexity(weight, given),
    )


def _log_probability(clicked: NDArray[np.bool_], click: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.where(clicked, np.log(click), np.log1p(-click))


def _perplexity(weight: Floats, log_probability: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        nats = np.where(weight > 0, weight * log_probability, 0.0).sum(axis=0)
        return np.asarray(np.exp(-nats / weight.sum(axis=0)))
