"""A world: what can be found, who searches, and how they behave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ranklift.clicks.keys import hash_id, hash_ids
from ranklift.clicks.results import Floats
from ranklift.simulator.behaviour import Actions, Behaviour, of_grade
from ranklift.simulator.collections import Collection
from ranklift.simulator.queries import query_law
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Pages, Population, Users, users_at
from ranklift.simulator.visits import Course, Planned, Reacting, Sessions, near_queries
from ranklift.v1.errors import InvalidRequest, Violation

USER_DIGITS = 7
# Query id -> the ids of the documents shown, best first.
Rankings: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Appeal:
    """What one result does to users: P(attracted | examined) in [0, 1], P(satisfied | clicked)."""

    attractiveness: float
    satisfaction: float


@dataclass(frozen=True, slots=True)
class World:
    """Everything that decides what happens, down to the last click.

    `name` begins the ids of users, sessions and pages, so two worlds played
    into one log need two names. `candidates` are the documents that are ranked
    for each query, in the order in which they are sent; only queries with
    candidates are asked. `seed` is in [0, 2^64). `appeals`, by query and document
    id, come before what the grade says: a log or a teacher knows more than a
    judgment. Without `sessions` the pages are planned, whatever users see.
    `popularity` says how often each query is asked, in proportion; without it
    the population's law does.

    Raises:
        InvalidRequest: a field is out of range, or `candidates` name what the
            collection does not have.
    """

    name: str
    seed: int
    collection: Collection
    candidates: Mapping[str, tuple[str, ...]]
    population: Population = field(default_factory=Population)
    behaviour: Behaviour = field(default_factory=Behaviour)
    appeals: Mapping[str, Mapping[str, Appeal]] = field(default_factory=dict)
    sessions: Sessions | None = None
    popularity: Mapping[str, float] | None = None
    # Made of the fields above when first asked for: it looks at all queries.
    _course: Course | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        violations = []
        if not re.fullmatch(r"[a-z0-9_-]{1,64}", self.name):
            violations.append(
                Violation(
                    "world.name",
                    f'"{self.name}", must be 1 to 64 lower-case letters, digits, - or _',
                )
            )
        if not 0 <= self.seed < 2**64:
            violations.append(Violation("world.seed", f"{self.seed}, must be in [0, 2^64)"))
        if not self.candidates:
            violations.append(
                Violation("world.candidates", "none; give at least one query its candidates")
            )
        for query_id, document_ids in self.candidates.items():
            problem = self._problem(query_id, document_ids)
            if problem:
                violations.append(Violation(f'world.candidates["{query_id}"]', problem))
        if self.popularity is not None:
            violations += [
                Violation(
                    f'world.popularity["{query_id}"]',
                    f"{self.popularity.get(query_id)}, must be above 0",
                )
                for query_id in self.candidates
                if not 0 < self.popularity.get(query_id, 0) < float("inf")
            ]
        if violations:
            raise InvalidRequest(violations)

    def _problem(self, query_id: str, document_ids: tuple[str, ...]) -> str:
        if query_id not in self.collection.queries:
            return "is not a query of the collection"
        if not document_ids:
            return "is empty; leave the query out"
        if len(set(document_ids)) < len(document_ids):
            return "names a document twice; a page shows it once"
        unknown = [d for d in document_ids if d not in self.collection.documents]
        return f'document "{unknown[0]}" is not in the collection' if unknown else ""

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The queries that are asked; `Pages.query` indexes them."""
        return tuple(self.candidates)

    def users_at(self, pages: Pages) -> Users:
        """Return who asks for each page, as they are at that moment."""
        return users_at(self.population, self.seed, pages)

    def pages(self, who: NDArray[np.int64] | None = None) -> Pages:
        """Return the pages that all users, or those in `who`, ask for, whichever ranker answers.

        Raises:
            InvalidRequest: with `sessions`, nobody knows the pages before they were played.
        """
        course = self._course_of_users()
        if not isinstance(course, Planned):
            raise InvalidRequest.of(
                "world.sessions", "users react to what they see; play the world page by page"
            )
        return course.pages(self._users(who))

    def first_pages(self, who: NDArray[np.int64] | None = None) -> Pages:
        """Return the first page of each user, or of those in `who` (ascending), that ever comes."""
        return self._course_of_users().first(self._users(who))

    def next_pages(self, pages: Pages, actions: Actions) -> Pages:
        """Return the next page of each user that goes on, given what all did on `pages`.

        Users that do not go on are left out; each row depends on one row of `pages` only.
        """
        return self._course_of_users().after(pages, actions)

    def _users(self, who: NDArray[np.int64] | None) -> NDArray[np.int64]:
        return np.arange(self.population.users) if who is None else who

    def _course_of_users(self) -> Course:
        if self._course is None:
            queries = query_law(self.population, self.query_ids, self.seed, self.popularity)
            course: Course = Planned(self.population, queries, self.seed)
            if self.sessions is not None:
                near = near_queries(self.sessions, self.candidates)
                course = Reacting(self.sessions, self.population, queries, near, self.seed)
            object.__setattr__(self, "_course", course)
            return course
        return self._course

    def appeal(self, query_id: str, document_id: str) -> Appeal:
        """Return what a result does to users."""
        known = self.appeals.get(query_id, {}).get(document_id)
        if known is not None:
            return known
        grade = self.collection.grade(query_id, document_id)
        return Appeal(
            of_grade(self.behaviour.attractiveness, grade),
            of_grade(self.behaviour.satisfaction, grade),
        )

    def user_id(self, user: int) -> str:
        return f"{self.name}-{user:0{USER_DIGITS}d}"

    def session_id(self, user: int, visit: int) -> str:
        return f"{self.user_id(user)}-{visit}"

    def page_id(self, user: int, visit: int, step: int) -> str:
        """Return the id of a page; it is also the id of its request and impression."""
        return f"{self.session_id(user, visit)}-{step}"


def event_ids(page_id: str, position: int) -> tuple[str, str]:
    """Return the ids of the click at a 1-based position of a page, and of the dwell after it."""
    return f"{page_id}-c{position}", f"{page_id}-d{position}"


def shown(world: World, rankings: Iterable[tuple[str, Sequence[str]]]) -> Shown:
    """Return what the given (query id, document ids, best first) show, one a column."""
    columns = list(rankings)
    size = world.behaviour.page_size
    document = np.zeros((size, len(columns)), dtype=np.uint64)
    log_odds = np.full((size, len(columns)), -np.inf)
    satisfaction = np.zeros((size, len(columns)))
    shifts = world.behaviour.dwell_shifts
    log_dwell = np.zeros((size, len(columns))) if shifts else None
    for column, (query_id, document_ids) in enumerate(columns):
        for rank, document_id in enumerate(document_ids[:size]):
            appeal = world.appeal(query_id, document_id)
            document[rank, column] = hash_id(document_id)
            log_odds[rank, column] = logit(appeal.attractiveness)
            satisfaction[rank, column] = appeal.satisfaction
            if shifts and log_dwell is not None:
                grade = world.collection.grade(query_id, document_id)
                text = world.collection.documents[document_id]
                words = len(text.title.split()) + len(text.text.split())
                log_dwell[rank, column] = shifts.of_result(grade, words)
    drift = None
    if world.population.drift:
        query = hash_ids([query_id for query_id, _ in columns])
        drift = world.population.drift.result_log_odds(
            world.seed, query, document, world.population.days
        )
    return Shown(document, log_odds, satisfaction, log_dwell, drift)


def shown_by_query(world: World, rankings: Rankings) -> Shown:
    """Return the page that `rankings` shows for each query, in the order of `query_ids`.

    Raises:
        InvalidRequest: a query has no ranking, or one that repeats a document.
    """
    for query_id in world.query_ids:
        if query_id not in rankings:
            raise InvalidRequest.of(
                f'rankings["{query_id}"]', "is missing; rank every query with candidates"
            )
        if len(set(rankings[query_id])) < len(rankings[query_id]):
            raise InvalidRequest.of(
                f'rankings["{query_id}"]', "names a document twice; a page shows it once"
            )
    return shown(world, ((query_id, rankings[query_id]) for query_id in world.query_ids))


def side_by_side(tables: Sequence[Shown]) -> Shown:
    """Return the columns of all tables, in their order."""
    return Shown(
        np.concatenate([table.document for table in tables], axis=1),
        np.concatenate([table.log_odds for table in tables], axis=1),
        np.concatenate([table.satisfaction for table in tables], axis=1),
        _beside([table.log_dwell for table in tables]),
        _beside([table.drift for table in tables]),
    )


def _beside(parts: Sequence[Floats | None]) -> Floats | None:
    """Return the columns of all parts; all or none of one world's tables have them."""
    found = [part for part in parts if part is not None]
    return np.concatenate(found, axis=-1) if found else None
