"""Worlds fitted to real search sessions, held against sessions that they never saw.

python -m tests.benchmarks.run sim_realism
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ranklift.clicks.log import click_log
from ranklift.simulator.fitting import ATTRACTION_PRIOR, Model, fit_browsing, fit_world, pairs_of
from ranklift.simulator.logs.reading import read_log
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.logs.simulated import simulated_log
from ranklift.simulator.realism import Realism, realism

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "tiangong-demo"
SIZE = 10


def measure() -> str:
    """Fit to the training part, compare with the test part, and return the page."""
    if not DATA.is_dir():
        raise RuntimeError(f"the TianGong-ST demo is not at {DATA}")
    train, test = read_log(DATA / "train.txt"), read_log(DATA / "test.txt")
    chance = realism(train, test)
    found = {}
    for model in Model:
        fitted = fit_world(train, model=model)
        found[model] = realism(test, simulated_log(fitted.world, fitted.shown))
    lines = [
        "# How real are worlds fitted to real sessions?",
        "",
        f"Fitted to the training part of the TianGong-ST demo ({train.pages.height:,} pages of "
        f"{train.pages['session'].n_unique():,} sessions), held against its test part "
        f"({test.pages.height} pages of {test.pages['session'].n_unique()} sessions), which no fit "
        "saw. The log has neither users nor times, order of clicks nor dwell. AUC: of a classifier "
        "that tells simulated from real pages, with a 95 % interval; 0.5 is not at all. The first "
        "column holds the real training part against the real test part.",
        "",
        "| | real training part | " + " | ".join(found) + " |",
        "|---|" + "---|" * (1 + len(found)),
        _row("AUC", [_auc(one) for one in (chance, *found.values())]),
    ]
    for n, one in enumerate(chance.compared):
        distances = [one.distance, *(other.compared[n].distance for other in found.values())]
        lines.append(
            _row(
                f"{one.measure}: distance (by chance {one.by_chance:.3f})",
                [f"{distance:.3f}" for distance in distances],
            )
        )
    return "\n".join([*lines, "", *_perplexity(train, test)]) + "\n"


def _perplexity(train: SearchLog, test: SearchLog) -> list[str]:
    """Return the table of how each model predicts pages of pairs that both parts show."""
    pairs, held = pairs_of(train, SIZE), pairs_of(test, SIZE)
    number = {row: n for n, row in enumerate(pairs.table.iter_rows())}
    translated = np.array([number.get(row, -1) for row in held.table.iter_rows()])
    pair = np.where(held.log.pair >= 0, translated[held.log.pair], -1)
    whole = (pair >= 0).all(axis=1)
    log = click_log(pair[whole], held.log.clicked[whole], pairs=pairs.log.pairs)
    rows = []
    for model in Model:
        score = fit_browsing(pairs.log, model).score(log)
        rows.append(
            f"| {model} | {score.log_likelihood:.4f} | {np.mean(score.perplexity):.4f} | "
            f"{np.mean(score.conditional_perplexity):.4f} |"
        )
    return [
        f"Held-out pages of which every pair is known, {len(log)} of them; attractiveness of rare "
        f"pairs drawn to Beta({ATTRACTION_PRIOR.clicks:g}, {ATTRACTION_PRIOR.skips:g}). "
        "Log-likelihood per result.",
        "",
        "| model | log-likelihood | perplexity | conditional perplexity |",
        "|---|---|---|---|",
        *rows,
    ]


def _auc(found: Realism) -> str:
    margin = 1.96 * found.auc.error
    return f"{found.auc.value:.3f} [{found.auc.value - margin:.3f}, {found.auc.value + margin:.3f}]"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
