"""What a run on the synthetic world found, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ranklift.cli.reproduce.distributions import distribution_chart, distributions_grid
from ranklift.cli.reproduce.results import (
    LEVEL,
    LOG_PNR,
    NDCG_5,
    Claim,
    Judged,
    judge,
    paired,
)
from ranklift.cli.reproduce.run import DEPTHS, LOSSES, TEACHERS, Findings, Group
from ranklift.cli.reproduce.systems import (
    CPT_SFT,
    HYBRID,
    LOSS_CLAIMS,
    TEACHER_CLAIMS,
    depth_name,
)
from ranklift.cli.reproduce.tables import (
    claims_grid,
    mean_text,
    rates_grid,
    results_grid,
    speed_grid,
    units_grid,
    verdict_sentence,
)
from ranklift.cli.simulate.charts import Chart
from ranklift.cli.simulate.pages import Page
from ranklift.lift.render.grid import Grid

CLAIMS: Mapping[str, tuple[Claim, ...]] = {TEACHERS: TEACHER_CLAIMS, LOSSES: LOSS_CLAIMS}
TITLES = {
    TEACHERS: "(a) Teachers",
    LOSSES: "(b) Losses of students",
    DEPTHS: "(c) Depths of students",
}
AGAINST = {TEACHERS: CPT_SFT, LOSSES: HYBRID, DEPTHS: depth_name(1)}
NOTES = {
    TEACHERS: (
        "zero-shot: nothing taught it to rank; the score is the language model's mean "
        "log-likelihood of the document's tokens after the query. text: pre-trained on the "
        "documents alone. CPT: on clicked documents after their queries. SFT: fine-tuned on the "
        "judged queries."
    ),
    LOSSES: (
        "point: alpha 1. margin: alpha 0. hybrid: alpha 0.5, fixed before anything was measured. "
        "The other alphas are the sweep. All learn the scores of the teacher CPT + SFT."
    ),
    DEPTHS: "All with the hybrid loss.",
}
ABOUT_SEEDS = (
    "A seed makes its own world (words, documents, queries, judgments, candidates, clicks), its "
    "own initial weights and its own order of batches. Within a seed all systems share these, and "
    "are measured on the same held-out queries."
)


def judged_of(findings: Findings) -> list[Judged]:
    """Return what the results say of the claims on the tables that were made."""
    return [
        judge(claim, group.results)
        for table, group in findings.groups.items()
        for claim in CLAIMS.get(table, ())
    ]


def page_of(findings: Findings, about: str) -> Page:
    """Return the page; `about` says what was run."""
    judged = judged_of(findings)
    grids: list[Grid] = []
    for table, group in findings.groups.items():
        systems, results = group.systems, group.results
        grids.append(
            results_grid(TITLES[table], systems, results, against=AGAINST[table], note=NOTES[table])
        )
        grids += [claims_grid(each) for each in judged if each.claim in CLAIMS.get(table, ())]
        grids.append(units_grid(f"{TITLES[table]}: pair accuracy by seed", systems, results))
    if findings.speeds:
        grids.append(speed_grid(findings.speeds))
    charts: tuple[Chart, ...] = ()
    if findings.teacher:
        students = findings.groups[LOSSES].distributions
        grids.append(distributions_grid({"teacher": findings.teacher, **students}))
        charts = tuple(
            distribution_chart(name, each, findings.teacher) for name, each in students.items()
        )
    tuned = {
        name: each
        for group in findings.groups.values()
        for name, each in group.tuned.items()
        if each.tried
    }
    if tuned:
        grids.append(rates_grid(list(tuned.values()), findings.tuning_seeds))
    return Page(
        "DisRanker's tables at the size of one machine",
        (
            about,
            ABOUT_SEEDS,
            f"Intervals are {100 * LEVEL:g} % t intervals over seeds; differences are taken seed "
            "by seed. No seed is left out. A claim holds when the interval of each of its "
            "differences lies above 0: all must, so that no correction for their number is due. "
            "It does not hold when one lies below 0, and is not shown otherwise.",
            *(verdict_sentence(each) for each in judged),
            *_best(findings),
            *_failures(findings),
        ),
        tuple(grids),
        charts,
        "Bars: the student's scores on held-out queries; line: the teacher's. In the teacher's "
        "standard deviations around its mean.",
    )


def values_of(findings: Findings) -> dict[str, Any]:
    """Return everything that the page shows, for JSON."""
    return {
        "seeds": list(findings.seeds),
        "tuning_seeds": list(findings.tuning_seeds),
        "claims": [asdict(each) for each in judged_of(findings)],
        "tables": {table: _values(group) for table, group in findings.groups.items()},
        "speeds": [asdict(each) for each in findings.speeds],
        "teacher_distributions": [asdict(each) for each in findings.teacher],
    }


def _values(group: Group) -> dict[str, Any]:
    return {
        "results": [asdict(each) for each in group.results],
        "rates": {
            name: {"taken": each.rate, "log_pnr": {f"{r:g}": v for r, v in each.tried.items()}}
            for name, each in group.tuned.items()
        },
        "failures": [
            {"system": name, "seed": seed, "reason": reason}
            for (name, seed), reason in group.failures.items()
        ],
        "distributions": {
            name: [asdict(one) for one in each] for name, each in group.distributions.items()
        },
    }


def _best(findings: Findings) -> Sequence[str]:
    group = findings.groups.get(LOSSES)
    best = group.best if group else None
    if group is None or best is None:
        return ()
    if best == HYBRID:
        return (f"Of all losses the tuning seeds prefer {HYBRID}.",)
    differences = "; ".join(
        f"{name} {mean_text(paired(group.results, best, HYBRID, metric).mean, signed=True)}"
        for metric, name in ((LOG_PNR, "log PNR"), (NDCG_5, "NDCG@5"))
    )
    return (
        f"Of all losses the tuning seeds prefer {best}. On the seeds of the table it "
        f"exceeds {HYBRID} by: {differences}.",
    )


def _failures(findings: Findings) -> Sequence[str]:
    return tuple(
        f"{name}, seed {seed}: training broke down ({reason}); counted as a ranker that gives all "
        "documents the same score."
        for group in findings.groups.values()
        for (name, seed), reason in group.failures.items()
    )
