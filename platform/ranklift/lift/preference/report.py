"""The preferences of a registered experiment's arms, from ranklift's own event log.

A page has a vote. Pages of one unit are alike, so the unit is the observation: the preference is a
ratio of two sums over units, with the delta method's variance (`lift/ratio.py`). Where votes are
wins, the share of wins with ties halved, minus a half, is half of it: Chapelle, Joachims, Radlinski
and Yue, "Large-scale validation and analysis of interleaved search evaluation", TOIS 2012, section
3.2. P-values are of one pair each; they are not corrected for the number of pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import combinations

import numpy as np
import polars as pl
from scipy import special

from ranklift.lift.event_pages import EventTables
from ranklift.lift.moments import Moments
from ranklift.lift.preference.pages import column_of, interleaved_pages, votes
from ranklift.lift.preference.values import ArmPreferences, Preference, Vote
from ranklift.lift.ratio import estimate, t_quantile
from ranklift.lift.sample_ratio import ALPHA, p_values_at_every_look
from ranklift.lift.values import Check, Interval, Unavailable
from ranklift.store.values import Arm, Interleaving, RegisteredExperiment
from ranklift.v1.errors import NotReady

TOP = 10


def preferences(
    registered: RegisteredExperiment,
    events: EventTables,
    vote_of: Mapping[str, Vote],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[ArmPreferences, ...]:
    """Return the preferences of each arm that interleaves, over the pages shown in [start, end).

    `vote_of` are the methods' own votes, by the name that is logged.

    Raises:
        NotReady: it never ran, no arm interleaves, or a page's method is not known.
    """
    experiment = registered.experiment
    arms = [(arm, arm.interleaving) for arm in experiment.arms if arm.interleaving]
    if not arms:
        raise NotReady.of(
            "experiment", f'no arm of "{experiment.name}" interleaves; ask for its lift report'
        )
    if registered.started is None:
        raise NotReady.of(
            "experiment",
            f'"{experiment.name}" never ran; start it with '
            f'"ranklift experiment start {experiment.name}"',
        )
    return tuple(
        _of_arm(
            arm,
            interleaving,
            interleaved_pages(events, experiment.name, arm.name, start=start, end=end),
            vote_of,
            1 - experiment.analysis.alpha,
        )
        for arm, interleaving in arms
    )


def _of_arm(
    arm: Arm,
    interleaving: Interleaving,
    pages: pl.DataFrame,
    vote_of: Mapping[str, Vote],
    confidence_level: float,
) -> ArmPreferences:
    models = [str(model) for model in interleaving.models]
    counted = pages.filter(~pl.col("degraded"))
    cast = votes(counted, len(models), vote_of)
    return ArmPreferences(
        arm=arm.name,
        method=str(interleaving.method),
        preferences=tuple(
            _preference(models, pair, cast, _overlap(counted, *pair), confidence_level)
            for pair in combinations(range(len(models)), 2)
        ),
        pages=counted.height,
        degraded_pages=pages.height - counted.height,
        units=counted["unit_id"].n_unique(),
        confidence_level=confidence_level,
        check=_missing_alike(models, pages),
    )


def _preference(
    models: Sequence[str],
    pair: tuple[int, int],
    cast: pl.DataFrame,
    overlap: float,
    confidence_level: float,
) -> Preference:
    vote = pl.col(column_of(*pair))
    units = cast.group_by("unit_id").agg(net=vote.sum(), pages=pl.len())
    wins_a, wins_b = cast.select(a=(vote > 0).sum(), b=(vote < 0).sum()).row(0)
    found = estimate(Moments.from_frame(units.sort("unit_id"), ("net", "pages")), "net", "pages")
    interval, p_value = None, None
    if not isinstance(found, Unavailable) and found.variance > 0:
        error, freedom = math.sqrt(found.variance), found.count - 1
        half = t_quantile(confidence_level, freedom) * error
        interval = Interval(found.value - half, found.value + half)
        p_value = 2 * float(special.stdtr(freedom, -abs(found.value) / error))
    return Preference(
        model_a=models[pair[0]],
        model_b=models[pair[1]],
        wins_a=wins_a,
        wins_b=wins_b,
        ties=cast.height - wins_a - wins_b,
        preference=math.fsum(cast[column_of(*pair)]) / cast.height if cast.height else None,
        interval=interval,
        p_value=p_value,
        overlap=overlap,
    )


def _overlap(pages: pl.DataFrame, one: int, other: int) -> float:
    """Return the part of the first `TOP` documents that two rankings share; NaN-free: 0 without
    pages. On a page that shows fewer documents, that many."""
    ranks = pages.filter(pl.col("teams").list.len() > 0).select(
        "impression_id",
        one=pl.col("ranks").list.get(one),
        other=pl.col("ranks").list.get(other),
        top=pl.min_horizontal(pl.col("teams").list.len(), pl.lit(TOP)),
    )
    both = (pl.col("one") <= pl.col("top")) & (pl.col("other") <= pl.col("top"))
    shares = (
        ranks.explode("one", "other")
        .group_by("impression_id")
        .agg(share=both.sum() / pl.col("top").first())
    )
    return float(shares["share"].mean() or 0.0)  # type: ignore[arg-type]


def _missing_alike(models: Sequence[str], pages: pl.DataFrame) -> Check:
    """Return the check that each ranking was missing as often: like a sample-ratio mismatch.

    Where one of them fails on the very pages on which it does badly, leaving these pages out
    favours it. Pages on which exactly one was missing count; p holds at every look.
    """
    name = "missing_rankings"
    alone = pages.filter(pl.col("missing").list.len() == 1)["missing"].explode()
    if alone.is_empty():
        return Check(name, True, None, "No page lacks one of its rankings.")
    times = Counter(alone.to_list())
    counts = np.array([times[model] for model in models], dtype=np.float64)
    p_value = float(p_values_at_every_look(counts, np.full(len(models), 1 / len(models))))
    listed = ", ".join(f"{model} on {times[model]:,}" for model in models)
    detail = f"Pages that lack one ranking: {listed}."
    if p_value < ALPHA:
        detail += " The pages that are left may favour the ranking that is missing more often."
    return Check(name, p_value >= ALPHA, p_value, detail)
