"""A world made of a log: how users browse, what attracts them, how long they stay, how they search.

What the log holds is fitted; what it does not hold is assumed, and `Found` says which is which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from scipy.special import betaincinv

from ranklift.clicks import dbn, pbm, sdbn, ubm
from ranklift.clicks.em import BetaPrior, NotIdentified
from ranklift.clicks.log import NO_PAIR, ClickLog, click_log
from ranklift.clicks.model import Fitted
from ranklift.clicks.results import Floats
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.dwell import SATISFIED_DWELL, UNSATISFIED_DWELL, LogNormal
from ranklift.simulator.dwell_mixture import MIN_SIGMA, fit_dwell
from ranklift.simulator.fitted_appeals import Appeals, fit_appeals, of_median_user
from ranklift.simulator.fitted_population import Found, fit_population
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.world import Appeal, Rankings, World
from ranklift.v1.errors import InvalidRequest

# Attractiveness that pairs have until the log has said more: of pairs of a web-search log.
ATTRACTION_PRIOR = BetaPrior(1.3, 2.7)
ASSUMED_SATISFACTION = 0.45
_FITS: Mapping[str, Callable[[ClickLog], Fitted]] = {
    "pbm": lambda log: pbm.fit(log, prior=ATTRACTION_PRIOR),
    "ubm": lambda log: ubm.fit(log, prior=ATTRACTION_PRIOR),
    "dbn": lambda log: dbn.fit(log, prior=ATTRACTION_PRIOR),
    "sdbn": lambda log: sdbn.fit(log, prior=ATTRACTION_PRIOR),
}
# Fewer pages at a rank say little of it; deeper results are left out.
PAGES_OF_A_RANK = 20


class Model(StrEnum):
    """The click models that a world can be fitted with."""

    PBM = "pbm"
    UBM = "ubm"
    DBN = "dbn"
    SDBN = "sdbn"


@dataclass(frozen=True, slots=True, eq=False)
class FittedWorld:
    """A world, the rankings that the log mostly showed, and where each part comes from."""

    world: World
    shown: Rankings
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The (query, document) pairs of a log by number, and its pages as click models read them."""

    table: pl.DataFrame  # query, document; the row is the number
    log: ClickLog


def pairs_of(log: SearchLog, page_size: int) -> Pairs:
    """Return the first `page_size` results of each page with what was clicked, however often."""
    size = page_size
    results = (
        log.pages.with_row_index("page")
        .select("page", "query", pl.col("documents").list.head(size))
        .with_columns(rank=pl.int_ranges(pl.col("documents").list.len()))
        .explode("documents", "rank")
        .rename({"documents": "document"})
    )
    table = results.select("query", "document").unique(maintain_order=True)
    numbered = results.join(table.with_row_index("pair"), on=["query", "document"], how="left")
    pair = np.full((log.pages.height, size), NO_PAIR)
    pair[numbered["page"].to_numpy(), numbered["rank"].to_numpy()] = numbered["pair"].to_numpy()
    clicked = np.zeros(pair.shape, dtype=bool)
    clicks = log.clicks.filter(pl.col("rank") < size)
    clicked[clicks["page"].to_numpy(), clicks["rank"].to_numpy()] = True
    return Pairs(table, click_log(pair, clicked, pairs=table.height))


def fit_browsing(log: ClickLog, model: Model) -> Fitted:
    """Return a click model of a log, with pairs drawn to `ATTRACTION_PRIOR` where they are rare.

    Raises:
        InvalidRequest: the log cannot tell how users browse.
    """
    try:
        return _FITS[model](log)
    except NotIdentified as why:
        raise InvalidRequest.of("log", f"cannot tell how users browse: {why}") from why


def fit_world(
    log: SearchLog,
    *,
    name: str = "fitted",
    seed: int = 0,
    model: Model = Model.PBM,
    page_size: int = 10,
    collection: Collection | None = None,
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> FittedWorld:
    """Return the world of a log.

    `collection` gives queries and documents their texts, where ids are known to it; without
    one a text is the id. `scores`, by query and document id, add candidates that the log never
    showed: a teacher's, mapped to attractiveness by quantile (`appeals_of_scores`).

    Raises:
        InvalidRequest: the log cannot tell how users browse, or too few pages show any rank.
    """
    size = _page_size(log, page_size)
    log, texts = _with_ids(log, collection or Collection({}, {}, {}))
    pairs = pairs_of(log, size)
    fitted = fit_browsing(pairs.log, model)
    shared = fit_appeals(pairs.log, fitted)
    population, sessions, found = fit_population(log)
    behaviour, satisfaction, more = _behaviour(log, pairs, fitted, size, population.dwell_sigma)
    median = of_median_user(shared.attractiveness, population.propensity_sigma)
    appeals: dict[str, dict[str, Appeal]] = {}
    for (query, document), a, s in zip(
        pairs.table.iter_rows(), median.tolist(), satisfaction.tolist(), strict=True
    ):
        appeals.setdefault(query, {})[document] = Appeal(a, s)
    for query, unseen in appeals_of_scores(scores or {}, appeals, shared).items():
        for document, a in unseen.items():
            one = float(of_median_user(np.array([a]), population.propensity_sigma)[0])
            mean = float(satisfaction.mean())
            appeals.setdefault(query, {}).setdefault(document, Appeal(one, mean))
    candidates = {query: tuple(documents) for query, documents in appeals.items()}
    asked = log.pages["query"].value_counts().iter_rows()
    popularity = {query: float(count) for query, count in asked}
    least = min(popularity.values())
    world = World(
        name,
        seed,
        _collection(candidates, collection, texts),
        candidates,
        population,
        behaviour,
        appeals,
        sessions,
        popularity={query: popularity.get(query, least) for query in candidates},
    )
    return FittedWorld(
        world,
        {**candidates, **_mostly_shown(log, size)},
        (
            Found("browsing", _said(fitted, pairs.log), fitted=True),
            Found(
                "attractiveness",
                f"{len(median):,} pairs, of Beta({shared.clicks:.2f}, {shared.skips:.2f})",
                fitted=True,
            ),
            *more,
            *found,
            Found("popularity", f"{len(popularity):,} queries", fitted=True),
        ),
    )


def appeals_of_scores(
    scores: Mapping[str, Mapping[str, float]],
    known: Mapping[str, Mapping[str, Appeal]],
    shared: Appeals,
) -> dict[str, dict[str, float]]:
    """Return the attractiveness of scored pairs that are not known.

    A score stands for its rank among all scores, and that for the same quantile of the Beta that
    the pairs of the log share: monotone, and in need of no scale.
    """
    every = np.sort([one for documents in scores.values() for one in documents.values()])
    unseen: dict[str, dict[str, float]] = {}
    for query, documents in scores.items():
        for document, score in documents.items():
            if document not in known.get(query, {}):
                below = np.searchsorted(every, score, "left") + np.searchsorted(
                    every, score, "right"
                )
                quantile = (below + 1) / (2 * len(every) + 2)
                attractiveness = betaincinv(shared.clicks, shared.skips, quantile)
                unseen.setdefault(query, {})[document] = float(
                    np.clip(attractiveness, 1e-6, 1 - 1e-6)
                )
    return unseen


def _page_size(log: SearchLog, most: int) -> int:
    lengths = log.pages["documents"].list.len()
    shown = [int((lengths > rank).sum()) for rank in range(most)]
    size = sum(pages >= PAGES_OF_A_RANK for pages in shown)
    if not size:
        raise InvalidRequest.of(
            "log",
            f"has {shown[0]} pages; a fit needs at least {PAGES_OF_A_RANK}",
        )
    return size


def _behaviour(
    log: SearchLog, pairs: Pairs, fitted: Fitted, size: int, dwell_sigma: float
) -> tuple[Behaviour, Floats, list[Found]]:
    """Return the behaviour, and P(satisfied | clicked) of each pair."""
    browsing = fitted.browsing
    model = (
        np.nan_to_num(fitted.satisfaction.value, nan=ASSUMED_SATISFACTION)
        if fitted.satisfaction is not None
        else None
    )
    timed = log.clicks.drop_nulls("dwell_seconds").filter(pl.col("rank") < size)
    if timed.height < PAGES_OF_A_RANK:
        satisfaction = np.full(pairs.log.pairs, ASSUMED_SATISFACTION) if model is None else model
        return (
            Behaviour(browsing=browsing, page_size=size),
            satisfaction,
            [
                Found(
                    "satisfaction",
                    f"{satisfaction.mean():.2f} of the clicks",
                    fitted=model is not None,
                ),
                Found("dwell", _laws(SATISFIED_DWELL, UNSATISFIED_DWELL), fitted=False),
            ],
        )
    dwell = fit_dwell(timed["dwell_seconds"].to_numpy(), timed["censored"].to_numpy())
    pair = pairs.log.pair[timed["page"].to_numpy(), timed["rank"].to_numpy()]
    clicks = np.bincount(pair, minlength=pairs.log.pairs)
    satisfied = np.bincount(pair, dwell.posterior, pairs.log.pairs)
    by_dwell = (satisfied + 4 * dwell.share) / (clicks + 4)
    return (
        Behaviour(
            browsing=browsing,
            page_size=size,
            satisfied_dwell=_of_one_user(dwell.satisfied, dwell_sigma),
            unsatisfied_dwell=_of_one_user(dwell.unsatisfied, dwell_sigma),
        ),
        by_dwell if model is None else model,
        [
            Found("satisfaction", f"{dwell.share:.2f} of the clicks, by dwell", fitted=True),
            Found("dwell", _laws(dwell.satisfied, dwell.unsatisfied), fitted=True),
        ],
    )


def _of_one_user(law: LogNormal, dwell_sigma: float) -> LogNormal:
    """Return the law without what users differ by, which a world adds again."""
    return LogNormal(law.mu, float(np.sqrt(max(law.sigma**2 - dwell_sigma**2, MIN_SIGMA**2))))


def _with_ids(log: SearchLog, known: Collection) -> tuple[SearchLog, Mapping[str, str]]:
    """Return the log with its queries by id, and their texts by these ids.

    A query of a log may be a text. The id is that of the collection's query with the text, else
    the text if it has no blanks, else a number.
    """
    of_text = {text: query_id for query_id, text in known.queries.items()}
    texts: dict[str, str] = {}
    ids: dict[str, str] = {}
    for n, query in enumerate(log.pages["query"].unique(maintain_order=True)):
        one_word = not any(character.isspace() for character in query)
        query_id = query if query in known.queries else of_text.get(query)
        ids[query] = query_id or (query if one_word else f"query-{n:06d}")
        texts[ids[query]] = known.queries.get(ids[query], query)
    spaced = log.pages["documents"].explode().str.contains(r"\s")
    if spaced.any():
        document = log.pages["documents"].explode().filter(spaced)[0]
        raise InvalidRequest.of("log", f'has a document id with blanks, "{document}"')
    pages = log.pages.with_columns(pl.col("query").replace_strict(ids, return_dtype=pl.String))
    return SearchLog(pages, log.clicks), texts


def _collection(
    candidates: Mapping[str, tuple[str, ...]],
    collection: Collection | None,
    texts: Mapping[str, str],
) -> Collection:
    known = collection or Collection({}, {}, {})
    documents = dict.fromkeys(d for ids in candidates.values() for d in ids)
    return Collection(
        {d: known.documents.get(d, Document(d, d, "")) for d in documents},
        {query: texts.get(query) or known.queries.get(query, query) for query in candidates},
        {
            query: {d: g for d, g in known.judgments.get(query, {}).items() if d in documents}
            for query in candidates
        },
    )


def _mostly_shown(log: SearchLog, size: int) -> Rankings:
    """Return the page that was shown most often for each query, each document once."""
    pages = (
        log.pages.select("query", pl.col("documents").list.head(size))
        .group_by("query", "documents", maintain_order=True)
        .len()
        .sort("len", descending=True, maintain_order=True)
        .unique("query", keep="first", maintain_order=True)
    )
    return {query: tuple(dict.fromkeys(documents)) for query, documents, _ in pages.iter_rows()}


def _said(fitted: Fitted, log: ClickLog) -> str:
    score = fitted.score(log)
    return (
        f"{type(fitted.browsing).__name__}, log-likelihood {score.log_likelihood:.4f} per result, "
        f"conditional perplexity {np.nanmean(score.conditional_perplexity):.4f}"
    )


def _laws(satisfied: LogNormal, unsatisfied: LogNormal) -> str:
    return ", ".join(
        f"{name} log-normal({law.mu:.2f}, {law.sigma:.2f})"
        for name, law in (("satisfied", satisfied), ("not", unsatisfied))
    )
