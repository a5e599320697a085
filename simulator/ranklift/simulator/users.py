"""Who searches, when and for what: users, their visits and their pages.

Nothing here depends on what any ranker shows, so the same pages are asked for
in every arm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri, pdtrik

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.simulator.bots import ATTRACTED, NO_DWELL, Bots
from ranklift.simulator.devices import Devices
from ranklift.simulator.drift import Drift
from ranklift.simulator.season import Clock, Season
from ranklift.simulator.tastes import Taste, taste_of
from ranklift.v1.errors import InvalidRequest, Violation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_COUNTED, _LONGEST_COUNT = 20.0, 120  # P(Poisson(20) >= 120) < 1e-50, less than any draw can say


@dataclass(frozen=True, slots=True)
class Population:
    """How many users there are and how they search.

    Pages per user are 1 + Poisson(Gamma): the mean is `pages_per_user`, and
    `activity_shape` is the Gamma's shape, small for a few users who search a
    lot. The odds that a user clicks are multiplied by a log-normal propensity,
    and the dwell by a log-normal factor, with these standard deviations of the
    logarithm. After a page the visit goes on with `continue_probability`, after
    a gap of exponential length. The n-th most popular query is asked with
    probability proportional to n^-`query_exponent`. Visits are spread evenly
    over `span` from `start`.

    The rest is switched off by default: `taste_sigma` is the standard deviation
    of each user's taste for each document, on the log odds; see the modules of
    the others. In a world with sessions, visits come as these say.
    """

    users: int = 2_000
    pages_per_user: float = 2.5
    activity_shape: float = 1.0
    propensity_sigma: float = 0.6
    dwell_sigma: float = 0.35
    continue_probability: float = 0.5
    mean_gap: timedelta = timedelta(seconds=60)
    query_exponent: float = 0.7
    start: datetime = datetime(2025, 1, 6, tzinfo=UTC)
    span: timedelta = timedelta(days=7)
    taste_sigma: float = 0.0
    devices: Devices | None = None
    bots: Bots | None = None
    season: Season | None = None
    drift: Drift | None = None

    def __post_init__(self) -> None:
        checks = {
            "users": (self.users >= 1, "at least 1"),
            "pages_per_user": (self.pages_per_user >= 1, "at least 1"),
            "activity_shape": (self.activity_shape > 0, "above 0"),
            "propensity_sigma": (self.propensity_sigma >= 0, "at least 0"),
            "dwell_sigma": (self.dwell_sigma >= 0, "at least 0"),
            "continue_probability": (0 <= self.continue_probability < 1, "in [0, 1)"),
            "start": (self.start.tzinfo is not None, "an instant with a time zone"),
            "span": (self.span > timedelta(0), "longer than 0"),
            "taste_sigma": (0 <= self.taste_sigma < np.inf, "at least 0"),
        }
        violations = [
            Violation(f"population.{name}", f"{getattr(self, name)}, must be {allowed}")
            for name, (right, allowed) in checks.items()
            if not right
        ]
        if violations:
            raise InvalidRequest(violations)

    @property
    def start_us(self) -> int:
        """Microseconds from 1970 to `start`."""
        return (self.start - EPOCH) // MICROSECOND

    @property
    def days(self) -> int:
        """The days of the span, the last one perhaps not whole."""
        return -(-self.span // _DAY)

    def clock(self) -> Clock | None:
        """Return how time runs with the seasons; None: evenly."""
        return self.season.clock(self.start, self.span) if self.season else None

    def day(self, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the day of each time, from 0."""
        return np.clip((time_us - self.start_us) // (_DAY // MICROSECOND), 0, self.days - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """What sets users apart, one a row; what the population does not know of is None."""

    log_propensity: NDArray[np.float64]  # added to the logit of a click
    log_dwell: NDArray[np.float64]  # added to the mean of log dwell
    device: NDArray[np.int64] | None = None  # index into the segments
    depth: NDArray[np.float64] | None = None  # results that are looked at, at most
    bot: NDArray[np.bool_] | None = None
    taste: Taste | None = None
    day: NDArray[np.int64] | None = None  # of the world, where results drift

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Users:
        return Users(
            self.log_propensity[rows],
            self.log_dwell[rows],
            None if self.device is None else self.device[rows],
            None if self.depth is None else self.depth[rows],
            None if self.bot is None else self.bot[rows],
            None if self.taste is None else self.taste[rows],
            None if self.day is None else self.day[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """The pages that will be asked for, by user and then in time; arrays of shape (pages,).

    `key` is the hash of (seed, user, visit, step) that every draw on the page
    starts from.
    """

    user: NDArray[np.int64]  # index
    visit: NDArray[np.int64]  # of the user, from 0
    step: NDArray[np.int64]  # of the visit, from 0
    query: NDArray[np.int64]  # index
    time_us: NDArray[np.int64]  # microseconds since 1970, UTC
    key: Keys

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Pages:
        return Pages(
            self.user[rows],
            self.visit[rows],
            self.step[rows],
            self.query[rows],
            self.time_us[rows],
            self.key[rows],
        )


def users_of(population: Population, seed: int, user: NDArray[np.int64]) -> Users:
    """Return the users with these indices, one a row; who is who depends on the seed alone."""
    key = extend(np.uint64(seed), user)
    propensity = ndtri(uniform(extend(key, Purpose.PROPENSITY)))
    dwell = ndtri(uniform(extend(key, Purpose.DWELL_EFFECT)))
    users = Users(population.propensity_sigma * propensity, population.dwell_sigma * dwell)
    if population.taste_sigma:
        users = replace(users, taste=taste_of(population.taste_sigma, seed, user))
    if population.devices:
        device = population.devices.of(seed, user)
        shift = population.devices.field("log_propensity", device)
        users = replace(
            users,
            log_propensity=users.log_propensity + shift,
            device=device,
            depth=population.devices.field("depth", device),
        )
    if population.bots:
        bot = population.bots.are(seed, user)
        users = replace(
            users,
            log_propensity=np.where(bot, ATTRACTED, users.log_propensity),
            log_dwell=np.where(bot, NO_DWELL, users.log_dwell),
            depth=None if users.depth is None else np.where(bot, np.inf, users.depth),
            bot=bot,
        )
    return users


def users_at(population: Population, seed: int, pages: Pages) -> Users:
    """Return who asks for each page, as they are on that day."""
    users = users_of(population, seed, pages.user)
    if population.season:
        shift = population.season.log_odds(pages.time_us)
        users = replace(users, log_propensity=users.log_propensity + shift)
    if population.drift:
        users = replace(users, day=population.day(pages.time_us))
    return users


class Queries(Protocol):
    """Which query a search is for."""

    def draw(self, u: NDArray[np.float64], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the query (index) of each uniform draw, at its time in microseconds since 1970."""


def activity_of(
    population: Population, seed: int, who: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the number of pages of each user, or of those in `who`, at least 1."""
    user = np.arange(population.users) if who is None else who
    key = extend(np.uint64(seed), user)
    activity = gamma_quantile(population.activity_shape, uniform(extend(key, Purpose.ACTIVITY)))
    rate = activity * (population.pages_per_user - 1) / population.activity_shape
    if population.bots:
        rate *= population.bots.activity(seed, user)
    return 1 + _poisson(rate, uniform(extend(key, Purpose.PAGES)))


def pages_of_users(
    population: Population, queries: Queries, seed: int, who: NDArray[np.int64]
) -> Pages:
    """Return every page that the users `who`, in ascending order, ask for."""
    pages = activity_of(population, seed, who)
    row = np.repeat(np.arange(len(who)), pages)
    user = who[row]
    first = np.cumsum(pages) - pages  # each user's first row
    nth = np.arange(len(row)) - first[row]
    visit, step = _visits(population, seed, user, nth, first[row])
    key = extend(np.uint64(seed), user, visit, step)
    time_us = _times(population, seed, user, visit, step, key)
    return Pages(
        user=user,
        visit=visit,
        step=step,
        query=queries.draw(uniform(extend(key, Purpose.QUERY)), time_us),
        time_us=time_us,
        key=key,
    )


def gamma_quantile(shape: float, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value below which a share `u` of a gamma distribution of scale 1 lies."""
    if shape == 1:  # the default, and dear to compute in general
        return -np.log1p(-u)
    return np.asarray(gammaincinv(shape, u))


def _poisson(rate: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the smallest k with P(Poisson(rate) <= k) >= u; 0 for rate 0."""
    k = np.zeros(len(rate), dtype=np.int64)
    # pdtrik inverts the continuous extension of the distribution function in k, which is slow.
    large = (rate > _COUNTED).nonzero()[0]
    k[large] = np.ceil(pdtrik(u[large], rate[large]))
    rows = (rate <= _COUNTED).nonzero()[0]
    mean, left = rate[rows], u[rows]
    probability = np.exp(-mean)
    for n in range(1, _LONGEST_COUNT):
        left -= probability
        on = (left > 0).nonzero()[0]
        rows, left, mean = rows.take(on), left.take(on), mean.take(on)
        if not len(rows):
            break
        k[rows] = n
        probability = probability.take(on) * mean / n
    return k


def _visits(
    population: Population,
    seed: int,
    user: NDArray[np.int64],
    nth: NDArray[np.int64],
    first: NDArray[np.int64],  # row of the user's first page
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return visit and step of each page: a visit has 1 + geometric pages."""
    u = uniform(extend(np.uint64(seed), user, nth, Purpose.CONTINUE))
    opens = (nth == 0) | (u >= population.continue_probability)
    number = np.cumsum(opens)  # of the visit, over all users, from 1
    row = np.arange(len(user))
    opened = np.maximum.accumulate(np.where(opens, row, 0))  # first row of the page's visit
    return number - number[first], row - opened


def _times(
    population: Population,
    seed: int,
    user: NDArray[np.int64],
    visit: NDArray[np.int64],
    step: NDArray[np.int64],
    key: Keys,
) -> NDArray[np.int64]:
    """Return page times within the span, in order for each user."""
    span = population.span // MICROSECOND
    opens = step == 0
    arrival = uniform(extend(np.uint64(seed), user[opens], visit[opens], Purpose.ARRIVAL)) * span
    in_order = _in_order(user[opens], arrival)
    clock = population.clock()
    if clock:
        in_order = clock.real(in_order)
    mean_gap = population.mean_gap / MICROSECOND
    gap = np.where(opens, 0.0, -np.log(uniform(extend(key, Purpose.GAP))) * mean_gap)
    elapsed = gap  # since the visit began
    # Step by step: a sum over all rows would be rounded by who else is there.
    for nth in range(1, int(step.max()) + 1):
        rows = (step == nth).nonzero()[0]
        elapsed[rows] += elapsed[rows - 1]
    offset = in_order[np.cumsum(opens) - 1] + elapsed
    within = np.minimum(offset, span - 1).astype(np.int64)
    # A visit can reach into the user's next one; then the pages take turns.
    return _in_order(user, within) + (population.start - EPOCH) // MICROSECOND


def _in_order(user: NDArray[np.int64], time: NDArray[Any]) -> NDArray[Any]:
    """Return `time` in ascending order for each user; the rows of a user are next to each other."""
    new = user[1:] != user[:-1]
    early = time[1:] < time[:-1]
    early &= ~new
    if not early.any():
        return time
    # Most users have nothing to sort.
    nth = np.concatenate([[0], np.cumsum(new)])
    unsorted = np.zeros(nth[-1] + 1, dtype=bool)
    unsorted[nth[1:][early]] = True
    (rows,) = unsorted[nth].nonzero()
    sorted_rows = np.array(time)
    sorted_rows[rows] = time[rows][np.lexsort((time[rows], nth[rows]))]
    return sorted_rows
