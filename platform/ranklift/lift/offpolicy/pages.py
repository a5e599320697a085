"""Logged pages as one value: what was shown to whom, what it brought, how it was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.lift.offpolicy.policy import (
    NOTHING,
    Bools,
    Floats,
    Ints,
    Policy,
    positions,
    prefixes,
)
from ranklift.v1.errors import InvalidRequest

# The metrics of ranklift.lift.metrics that are a reward at each rank, summed, per page.
CLICKS_PER_PAGE = "clicks_per_page"
PAGE_CTR = "page_ctr"


@dataclass(frozen=True, slots=True, eq=False)
class Propensities:
    """How likely the logger was to show what it showed, as recorded when it did.

    `whole`, shape (pages,): the whole list. `prefix`, shape (pages, ranks): the first r documents
    in this order. `position`, shape (pages, ranks): this document at this rank, whatever stood
    elsewhere. All in (0, 1]; None where not recorded.
    """

    whole: Floats
    prefix: Floats | None = None
    position: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LoggedPages:
    """Pages that were served, in any order.

    `units`, shape (pages,), numbers the unit of each page from 0. `shown`, shape (pages, ranks),
    holds (query, document) pairs numbered below `pairs`, `NOTHING` behind the page's end.
    `clicks` and `rewards`, of the same shape, are what each result got; rewards sum to the page's
    value in `metric`. For page_ctr the topmost clicked rank has reward 1.

    `logger` is the policy that served the pages, its recorded propensities, or None: not known.
    A logger that always shows one list a page has `certain` propensities.
    `digest` identifies the log.
    """

    metric: str
    pairs: int
    units: Ints
    shown: Ints
    clicks: Floats
    rewards: Floats
    logger: Policy | Propensities | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        pages, shape = len(self.units), self.shown.shape
        if len(shape) != 2 or not pages == shape[0] > 0 or shape[1] == 0:
            raise InvalidRequest.of(
                "shown", f"{pages} units and lists of shape {shape}; give one list for each page"
            )
        if not self.clicks.shape == self.rewards.shape == shape:
            raise InvalidRequest.of(
                "clicks",
                f"clicks {self.clicks.shape} and rewards {self.rewards.shape}: not {shape}",
            )
        absent = self.shown == NOTHING
        faults = {
            "units": np.asarray(self.units < 0),
            "shown": ((self.shown < NOTHING) | (self.shown >= self.pairs)).any(axis=1)
            | (absent[:, :-1] & ~absent[:, 1:]).any(axis=1),
            "clicks": (~np.isfinite(self.clicks) | (self.clicks < 0)).any(axis=1)
            | (absent & (self.clicks != 0)).any(axis=1),
            "rewards": ~np.isfinite(self.rewards).all(axis=1)
            | ((self.rewards != 0) & (self.clicks == 0)).any(axis=1),
        }
        says = {
            "units": "is negative; number units from 0",
            "shown": "names an unknown pair, or has a gap; fill ranks from the first",
            "clicks": "has clicks that are negative, not finite or on nothing",
            "rewards": "has rewards that are not finite or without a click",
        }
        for field, wrong in faults.items():
            if wrong.any():
                raise InvalidRequest.of(field, f"page {int(np.argmax(wrong))} {says[field]}")
        if isinstance(self.logger, Propensities):
            _check_propensities(self.logger, self.shown)
        elif self.logger is not None and len(self.logger.context) != pages:
            raise InvalidRequest.of("logger", f"has {len(self.logger.context)} pages, not {pages}")

    @property
    def ranks(self) -> int:
        return int(self.shown.shape[1])

    @property
    def additive(self) -> bool:
        """Whether a rank's reward may depend on its own document alone."""
        return self.metric != PAGE_CTR

    def propensities(self) -> Propensities | None:
        """Return how likely the logger was to show what it showed, None when that is not known.

        Raises:
            InvalidRequest: the logger's policy never shows what was shown.
        """
        if not isinstance(self.logger, Policy):
            return self.logger
        prefix = prefixes(self.logger, self.shown)
        position = np.where(self.shown == NOTHING, 1.0, positions(self.logger, self.shown))
        found = Propensities(prefix[:, -1], prefix, position)
        _check_propensities(found, self.shown)
        return found

    def of_pages(self, kept: Bools) -> LoggedPages:
        """Return the pages that are kept."""
        logger = self.logger
        if isinstance(logger, Policy):
            logger = logger.of_pages(kept)
        elif logger is not None:
            logger = Propensities(
                logger.whole[kept],
                None if logger.prefix is None else logger.prefix[kept],
                None if logger.position is None else logger.position[kept],
            )
        return LoggedPages(
            self.metric,
            self.pairs,
            self.units[kept],
            self.shown[kept],
            self.clicks[kept],
            self.rewards[kept],
            logger,
            self.digest,
        )


def certain(shown: Ints) -> Propensities:
    """Return the propensities of a logger that never shows another list on the same page."""
    return Propensities(np.ones(len(shown)), np.ones(shown.shape), np.ones(shown.shape))


def topmost_clicks(clicks: Floats) -> Floats:
    """Return the rewards of page_ctr: 1 at the topmost clicked rank of each page.

    Whether a page is clicked is no sum over ranks, but where its topmost click lies is: by the
    cascade assumption it depends on nothing below it.
    """
    clicked = clicks > 0
    return np.asarray(clicked & (np.cumsum(clicked, axis=1) == 1), dtype=np.float64)


def _check_propensities(propensities: Propensities, shown: Ints) -> None:
    for name, shape in (
        ("whole", shown.shape[:1]),
        ("prefix", shown.shape),
        ("position", shown.shape),
    ):
        given: Floats | None = getattr(propensities, name)
        if given is None:
            continue
        if given.shape != shape:
            raise InvalidRequest.of(f"logger.{name}", f"has shape {given.shape}, must be {shape}")
        wrong = ~((given > 0) & (given <= 1 + 1e-9)).reshape(len(given), -1).all(axis=1)
        if wrong.any():
            raise InvalidRequest.of(
                f"logger.{name}",
                f"page {int(np.argmax(wrong))} has a propensity outside (0, 1]; "
                "what was shown had some chance to be",
            )
