"""Reading down the page: what cascade, DCM, CCM, DBN and SDBN have in common.

The first result is looked at. Whoever looks at one clicks it if attracted, and
then goes on to the next one or leaves for good:

    P(click at r | r examined)              = a_r
    P(r + 1 examined | r examined, skipped) = after_skip
    P(r + 1 examined | r clicked)           = after_click(r)

The models differ in the last two only. Chuklin, Markov and de Rijke, "Click
Models for Web Search", 2015, chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, draw
from ranklift.clicks.results import Floats, Results, Rows, Sample

# P(next is examined | click) of results at a 0-based rank, by attractiveness and satisfaction.
# It is linear in satisfaction: 0 or 1 once that is drawn, its probability before.
AfterClick: TypeAlias = Callable[[int, Floats, Floats], Floats]


def sample(results: Results, after_skip: float, after_click: AfterClick) -> Sample:
    """Return what users do; nothing is asked for or drawn below where a user left."""
    pages, ranks = results.shape
    depth = np.zeros(pages, dtype=np.int64)  # results looked at
    page = np.arange(pages)  # whose users still look
    rows: Rows = slice(None)  # the same pages, without the cost of gathering all of them
    at, satisfied = [], []  # of clicks: index into the flattened pages; whether satisfied
    for rank in range(ranks):
        depth[rows] = rank + 1
        keys = results.keys(rank, rows)
        attractiveness = results.attractiveness(rank, rows)
        (clicks,) = (draw(keys, Purpose.ATTRACT) < attractiveness).nonzero()
        clicked, clicked_keys = page.take(clicks), keys.take(clicks)
        satisfies = draw(clicked_keys, Purpose.SATISFY) < results.satisfaction(rank, clicked)
        at.append(clicked * ranks + rank)
        satisfied.append(satisfies)
        luck = draw(keys, Purpose.BROWSE)
        goes_on = luck < after_skip
        goes_on[clicks] = luck.take(clicks) < after_click(
            rank, attractiveness.take(clicks), satisfies.astype(np.float64)
        )
        rows = page = page.compress(goes_on)
    drawn = Sample(
        examined=np.arange(ranks) < depth[:, None],
        attracted=np.zeros((pages, ranks), dtype=bool),
        clicked=np.zeros((pages, ranks), dtype=bool),
        satisfied=np.zeros((pages, ranks), dtype=bool),
    )
    where = np.concatenate(at)
    drawn.attracted.ravel()[where] = True
    drawn.clicked.ravel()[where] = True
    drawn.satisfied.ravel()[where] = np.concatenate(satisfied)
    return drawn


def conditional(
    attractiveness: Floats,
    satisfaction: Floats,
    clicked: NDArray[np.bool_],
    after_skip: float,
    after_click: AfterClick,
) -> Floats:
    """Return P(click at r | clicks above), shape (pages, ranks).

    It is e_r a_r, where e_r = P(examined | clicks above) is 1 at the first rank and then

        after a click  e_{r+1} = after_click(r)
        after a skip   e_{r+1} = after_skip e_r (1 - a_r) / (1 - e_r a_r)
    """
    click = np.empty_like(attractiveness)
    examined = np.ones(len(attractiveness))
    for rank in range(click.shape[1]):
        a = attractiveness[:, rank]
        # What nobody can look at is not clicked, even where attractiveness is not known.
        p = click[:, rank] = np.where(examined > 0, examined * a, 0.0)
        # Nobody skips what is surely clicked; any value will do there.
        unattracted = np.divide(examined * (1 - a), 1 - p, out=np.zeros_like(p), where=p < 1)
        examined = np.where(
            clicked[:, rank],
            after_click(rank, a, satisfaction[:, rank]),
            after_skip * unattracted,
        )
    return click


def marginal(
    attractiveness: Floats, satisfaction: Floats, after_skip: float, after_click: AfterClick
) -> Floats:
    """Return P(click at r), shape (pages, ranks): E_r a_r, where E_1 = 1 and

    E_{r+1} = E_r [(1 - a_r) after_skip + a_r after_click(r)]
    """
    click = np.empty_like(attractiveness)
    examined = np.ones(len(attractiveness))
    for rank in range(click.shape[1]):
        a = attractiveness[:, rank]
        click[:, rank] = examined * a
        examined = examined * (
            (1 - a) * after_skip + a * after_click(rank, a, satisfaction[:, rank])
        )
    return click
