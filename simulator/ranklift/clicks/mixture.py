"""A mixture of click models: each page is read by a user of one kind, who is not seen.

    P(clicks) = sum_k w_k prod_r P_k(click or skip at r | clicks above)

The kinds share the attractiveness of a result and differ in how they browse, so
a world may take a mixture as it takes any browsing. CLAX has mixtures of click
models too, trained by gradient steps: Hager, Zoeter and de Rijke, "CLAX: Fast and
flexible neural click models in JAX", arXiv 2511.03620, 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import splu
from scipy.special import expit, log_softmax, logit, logsumexp, softmax

from ranklift.clicks.counts import last_click_cell
from ranklift.clicks.keys import Keys, Purpose, draw
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Browsing, Estimate, Fitted
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.results import Floats, Results, Rows, Sample
from ranklift.clicks.ubm import Ubm

_COLUMNS_AT_ONCE = 256
_EDGE = 1e-6  # where a fit starts at a probability of 0 or 1


@dataclass(frozen=True, slots=True)
class Mixture:
    """Browsing of one of `components`, drawn for each page with probabilities `weights`.

    The draw is keyed by the page (`Results.page_keys`), never by what it shows:
    a user is of the same kind in every arm.
    """

    components: tuple[Browsing, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.components or len(self.components) != len(self.weights):
            raise ValueError(
                f"{len(self.components)} components and {len(self.weights)} weights; "
                "give at least one component, and a weight for each"
            )
        if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"weights {self.weights}, must be at least 0 and sum to 1")

    @property
    def ranks(self) -> int | None:
        longest = [one.ranks for one in self.components if one.ranks is not None]
        return min(longest, default=None)

    def component(self, page_keys: Keys) -> NDArray[np.int64]:
        """Return which component reads each page; the latent truth of a sample."""
        steps = np.cumsum(self.weights)[:-1]
        return np.asarray(np.searchsorted(steps, draw(page_keys, Purpose.COMPONENT), side="right"))

    def sample(self, results: Results) -> Sample:
        """Return what users do, each page by its own component."""
        drawn = Sample(*(np.zeros(results.shape, dtype=bool) for _ in range(4)))
        kind = self.component(results.page_keys(slice(None)))
        for number, browsing in enumerate(self.components):
            rows = np.flatnonzero(kind == number)
            part = browsing.sample(_Some(results, rows))
            drawn.examined[rows] = part.examined
            drawn.attracted[rows] = part.attracted
            drawn.clicked[rows] = part.clicked
            drawn.satisfied[rows] = part.satisfied
        return drawn

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return the mean of the components' conditionals, weighted by P(k | clicks above)."""
        click = np.stack(
            [one.conditional(attractiveness, satisfaction, clicked) for one in self.components]
        )  # (components, pages, ranks)
        with np.errstate(divide="ignore"):
            given = np.where(clicked, np.log(click), np.log1p(-click))
            above = np.concatenate(
                [np.zeros_like(given[..., :1]), np.cumsum(given, axis=2)[..., :-1]], axis=2
            )
            joint = np.log(self.weights)[:, None, None] + above
        # What no component can explain says nothing about which one it was.
        joint = np.where(np.isneginf(joint).all(axis=0), 0.0, joint)
        return np.asarray((softmax(joint, axis=0) * click).sum(axis=0))

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return the weighted mean of the components' marginals."""
        return np.asarray(
            sum(
                [
                    weight * one.marginal(attractiveness, satisfaction)
                    for weight, one in zip(self.weights, self.components, strict=True)
                ]
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Some:
    """Some pages of `results`, as `Results`."""

    results: Results
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.results.shape[1]

    def page_keys(self, rows: Rows) -> Keys:
        return self.results.page_keys(self.rows[rows])

    def keys(self, rank: int, rows: Rows) -> Keys:
        return self.results.keys(rank, self.rows[rows])

    def attractiveness(self, rank: int, rows: Rows) -> Floats:
        return self.results.attractiveness(rank, self.rows[rows])

    def satisfaction(self, rank: int, rows: Rows) -> Floats:
        return self.results.satisfaction(rank, self.rows[rows])


def fit(log: ClickLog, start: Mixture, *, max_iterations: int = 2_000) -> Fitted:
    """Fit a mixture of PBM and UBM components by maximum likelihood, from `start`.

    `start` says which components there are and breaks their symmetry; the
    maximum found is a local one. The gradient is that of EM, weighted by the
    responsibilities of the components for each page, but the steps are of
    L-BFGS, as EM itself is slow; `log_likelihood` is that of the start and the
    end. The largest examination of all components is 1. Standard
    errors are from the outer product of the pages' gradients;
    "weights" and the "examination" of each component by number, "0.examination",
    are the parameters, a UBM's as its cells (`counts.last_click_cell`).

    Raises:
        ValueError: a component that is neither PBM nor UBM, or shorter than a page.
    """
    problem = _Problem.of(log, start)

    def loss(x: Floats) -> tuple[float, Floats]:
        value, gradient = problem.gradient(x)
        return -value / problem.results, -gradient / problem.results

    first = problem.first(start)
    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 30},
    )
    trace = [problem.gradient(x)[0] for x in (first, found.x)]
    return problem.fitted(found.x, start, np.array(trace))


def _cells(browsing: Browsing, log: ClickLog) -> tuple[Floats, NDArray[np.int64]]:
    """Return the examination by cell, and the cell of each result."""
    if browsing.ranks is not None and browsing.ranks < log.ranks:
        raise ValueError(f"a component has {browsing.ranks} ranks and the log {log.ranks}")
    if isinstance(browsing, Pbm):
        ranks = np.broadcast_to(np.arange(log.ranks), log.pair.shape)
        return np.array(browsing.examination[: log.ranks]), ranks
    if isinstance(browsing, Ubm):
        flat = np.concatenate([np.array(row) for row in browsing.examination[: log.ranks]])
        return flat, last_click_cell(log.clicked)
    raise ValueError(
        f"a component is {type(browsing).__name__}; mixtures are fitted of Pbm and Ubm only"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """The likelihood in x: logits of attractiveness, logits of all cells, logarithms of weights."""

    log: ClickLog
    cell: tuple[NDArray[np.int64], ...]  # by component, (pages, ranks), numbered over all
    cells: int
    results: float

    @classmethod
    def of(cls, log: ClickLog, start: Mixture) -> _Problem:
        numbered, offset = [], 0
        for browsing in start.components:
            examination, cell = _cells(browsing, log)
            numbered.append(cell + offset)
            offset += len(examination)
        return cls(log, tuple(numbered), offset, float((log.weight[:, None] * log.shown).sum()))

    def first(self, start: Mixture) -> Floats:
        cells = np.concatenate([_cells(one, self.log)[0] for one in start.components])
        weights = np.maximum(start.weights, _EDGE)
        return np.concatenate(
            [
                np.zeros(self.log.pairs),
                logit(np.clip(cells, _EDGE, 0.9)),  # near 1 the logit hardly moves
                np.log(weights),
            ]
        )

    def split(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return attractiveness, examination by cell and log weights."""
        pairs = self.log.pairs
        return (
            expit(x[:pairs]),
            expit(x[pairs : pairs + self.cells]),
            log_softmax(x[pairs + self.cells :]),
        )

    def explained(
        self, alpha: Floats, gamma: Floats, log_weights: Floats
    ) -> tuple[Floats, Floats, list[Floats]]:
        """Return log P of each page, responsibilities (components, pages), and P(click)."""
        log, shown = self.log, self.log.shown
        a = alpha[log.pair]
        clicks = [np.clip(gamma[cell] * a, 1e-300, 1 - 1e-15) for cell in self.cell]
        joint = np.stack(
            [
                np.where(shown, np.where(log.clicked, np.log(p), np.log1p(-p)), 0.0).sum(axis=1)
                for p in clicks
            ]
        )
        joint += log_weights[:, None]
        return logsumexp(joint, axis=0), softmax(joint, axis=0), clicks

    def slopes(self, by: Floats, other: Floats, click: Floats) -> Floats:
        """Return d log P / d `by`, where P(click) = by * other."""
        slope = np.where(self.log.clicked, 1 / np.maximum(by, 1e-300), -other / (1 - click))
        return np.where(self.log.shown, slope, 0.0)

    def gradient(self, x: Floats) -> tuple[float, Floats]:
        alpha, gamma, log_weights = self.split(x)
        page, share, clicks = self.explained(alpha, gamma, log_weights)
        weight, shown = self.log.weight, self.log.shown
        a = alpha[self.log.pair]
        of_alpha, of_gamma = np.zeros(self.log.pairs), np.zeros(self.cells)
        for k, (cell, p) in enumerate(zip(self.cell, clicks, strict=True)):
            part = (weight * share[k])[:, None]
            g = gamma[cell]
            of_alpha += np.bincount(
                self.log.pair[shown], (part * self.slopes(a, g, p))[shown], self.log.pairs
            )
            of_gamma += np.bincount(cell[shown], (part * self.slopes(g, a, p))[shown], self.cells)
        of_weights = (share @ weight) - np.exp(log_weights) * weight.sum()
        gradient = [of_alpha * alpha * (1 - alpha), of_gamma * gamma * (1 - gamma), of_weights]
        return float(weight @ page), np.concatenate(gradient)

    def fitted(self, x: Floats, start: Mixture, trace: Floats) -> Fitted:
        alpha, gamma, log_weights = self.split(x)
        seen = np.bincount(
            np.concatenate([cell[self.log.shown] for cell in self.cell]), minlength=self.cells
        )
        top = int(np.argmax(np.where(seen > 0, gamma, -1.0)))
        error = self.errors(alpha, gamma, log_weights, top)
        pairs, scale = self.log.pairs, gamma[top]
        shown = np.bincount(self.log.pair[self.log.shown], minlength=pairs) > 0
        examination = Estimate(
            gamma / scale, np.where(seen > 0, error[pairs : pairs + self.cells] / scale, np.nan)
        )
        weights = Estimate(np.exp(log_weights), error[pairs + self.cells :])
        parameters, browsing, offset = {"weights": weights}, [], 0
        for number, component in enumerate(start.components):
            length = len(_cells(component, self.log)[0])
            own = slice(offset, offset + length)
            parameters[f"{number}.examination"] = Estimate(
                examination.value[own], examination.error[own]
            )
            browsing.append(_browsing(component, np.minimum(examination.value[own], 1)))
            offset += length
        return Fitted(
            Mixture(tuple(browsing), tuple(weights.value.tolist())),
            parameters,
            Estimate(
                np.where(shown, np.minimum(alpha * scale, 1), np.nan),
                np.where(shown, error[:pairs] * scale, np.nan),
            ),
            None,
            trace,
        )

    def errors(self, alpha: Floats, gamma: Floats, log_weights: Floats, top: int) -> Floats:
        """Return standard errors with the largest examination held fixed, 0 for itself.

        The pages' gradients, in which few parameters take part, make a sparse
        matrix; their outer product estimates the information.
        """
        _, share, clicks = self.explained(alpha, gamma, log_weights)
        shown, pairs = self.log.shown, self.log.pairs
        page = np.broadcast_to(np.arange(len(self.log))[:, None], shown.shape)[shown]
        a = alpha[self.log.pair]
        rows, columns, values = [], [], []
        for k, (cell, p) in enumerate(zip(self.cell, clicks, strict=True)):
            part, g = share[k][:, None], gamma[cell]
            rows += [page, page]
            columns += [self.log.pair[shown].astype(np.int64), pairs + cell[shown]]
            values += [(part * self.slopes(a, g, p))[shown], (part * self.slopes(g, a, p))[shown]]
        count = pairs + self.cells
        for k in range(len(self.cell) - 1):  # the last weight is what the others leave
            every = np.arange(len(self.log))
            rows.append(every)
            columns.append(np.full(len(self.log), count + k))
            values.append(share[k] / np.exp(log_weights[k]) - share[-1] / np.exp(log_weights[-1]))
        scores = sparse.csr_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(len(self.log), count + len(self.cell) - 1),
        )
        information = sparse.csc_array(scores.T @ (scores * self.log.weight[:, None]))
        free = information.diagonal() > 0
        free[pairs + top] = False
        covariance_of = _inverse(information[free][:, free])
        variance = np.zeros(len(free))
        variance[free] = covariance_of(np.arange(free.sum())).diagonal()
        if len(self.cell) == 1:
            return np.concatenate([np.sqrt(variance), [0.0]])
        of_weights = np.flatnonzero(free[:count]).size + np.arange(len(self.cell) - 1)
        last = covariance_of(of_weights)[of_weights].sum()
        return np.asarray(np.sqrt(np.concatenate([variance, [last]])))


def _inverse(information: sparse.csc_array) -> Callable[[NDArray[np.int64]], Floats]:
    """Return a function from columns to those columns of the inverse."""
    solver = splu(information)

    def columns(wanted: NDArray[np.int64]) -> Floats:
        out = np.empty((information.shape[0], len(wanted)))
        for at in range(0, len(wanted), _COLUMNS_AT_ONCE):
            some = wanted[at : at + _COLUMNS_AT_ONCE]
            unit = np.zeros((information.shape[0], len(some)))
            unit[some, np.arange(len(some))] = 1
            out[:, at : at + len(some)] = solver.solve(unit)
        return out

    return columns


def _browsing(like: Browsing, examination: Floats) -> Browsing:
    if isinstance(like, Pbm):
        return Pbm(tuple(examination.tolist()))
    ranks = int(np.sqrt(2 * len(examination)))
    starts = np.arange(ranks) * (np.arange(ranks) + 1) // 2
    return Ubm(
        tuple(
            tuple(examination[at : at + rank + 1].tolist())
            for rank, at in enumerate(starts.tolist())
        )
    )
