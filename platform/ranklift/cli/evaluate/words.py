"""What the numbers of an evaluation are called, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from ranklift.cli.evaluate.report import EvaluationReport
from ranklift.rankers.calibration.cross_fit import FOLDS
from ranklift.rankers.calibration.reliability import BINS
from ranklift.rankers.evaluation import RESAMPLES, Measure, Rules
from ranklift.rankers.evaluation.distributions import BINS as SCORE_BINS
from ranklift.rankers.evaluation.randomisation import ASSIGNMENTS

TITLES = {
    "pnr": "PNR",
    "log_pnr": "log PNR",
    "pair_accuracy": "pair accuracy",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "p": "P",
    "recall": "recall",
    "judged": "judged",
}
_GAINS = {"linear": "the grade y", "exponential": "2^y - 1 of the grade y"}
_TIES = {"neither": "in neither side", "half": "half in each side"}


def title_of(metric: str) -> str:
    """Return what a metric is called: "NDCG@10"."""
    name, at, cutoff = metric.partition("@")
    return f"{TITLES[name]}{at}{cutoff}"


def lead(report: EvaluationReport) -> tuple[str, ...]:
    """Return what was evaluated, in sentences."""
    ground, first = report.ground, report.systems[0].evaluation
    sizes = [len(each.documents) for each in ground.lists]
    without = (
        f" {ground.without:,} more judged queries have no candidates and are left out."
        if ground.without
        else ""
    )
    unjudged = first.pairs - first.judged_pairs
    return (
        f"{ground.collection}: {first.queries:,} judged queries.{without} Candidates: "
        f"{ground.candidates}, {_range(sizes)} a query, the same for every system.",
        f"{first.pairs:,} pairs of documents with different grades; in {unjudged:,} of them "
        f"({100 * unjudged / first.pairs:.1f} %) nobody judged one of the two, which then counts "
        "as not relevant.",
        *(f"{each.name}: {each.note}." for each in report.systems if each.note),
    )


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low}" if low == high else f"{low} to {high}"


def definitions(report: EvaluationReport) -> tuple[tuple[str, str], ...]:
    """Return each number's name and meaning, those that the report has."""
    rules = report.wanted.rules
    found = [
        (
            "pair",
            "Two candidates of one query with different grades. It is right (C) when the better "
            "one has the higher score, wrong (D) when the lower; equal scores are a tie and count "
            f"{_TIES[rules.ties]}.",
        ),
        (
            "PNR",
            "Positive-negative ratio, pooled over queries: (C + 0.5) / (D + 0.5). Queries with "
            "many pairs weigh more. 1 is chance. The plain C / D is infinite without wrong pairs.",
        ),
        (
            "pair accuracy",
            "(C + 0.5) / (C + D + 1), the same in other words: PNR / (1 + PNR). 0.5 is chance.",
        ),
        *((title_of(str(m)), _meaning(m, rules)) for m in rules.measures),
        (
            "95 % interval",
            f"Percentiles of {RESAMPLES:,} bootstrap samples of queries, seed "
            f"{report.wanted.seed}: what other queries of this kind might have given.",
        ),
        ("best order", "What a system would reach that knew the grades of these candidates."),
    ]
    if report.comparisons:
        found += [
            (
                "p",
                "Paired randomisation test, two-sided: how often a difference at least as large "
                "appears when each query's two results change places by the toss of a coin; all "
                f"ways are tried where they are at most {ASSIGNMENTS:,} (exact), else so many are "
                "drawn.",
            ),
            (
                "Holm p",
                "p corrected for the number of systems that are compared with the baseline; each "
                "measure is read for itself, so choose the one that decides beforehand.",
            ),
            (
                "log PNR",
                "The natural logarithm of PNR. Differences of PNR itself grow with its height and "
                "do not compare.",
            ),
        ]
    if report.wanted.distributions:
        found += [
            ("KS", "Largest distance of the two distribution functions; 0 alike, 1 apart."),
            (
                "overlap",
                f"Share that the two histograms of {SCORE_BINS} bins have in common; 1 alike.",
            ),
            ("standardised", "Both scores shifted and scaled to mean 0 and standard deviation 1."),
            ("Kendall tau", "Agreement of the two orders, mean over queries; 1 the same order."),
            ("top 1", "Share of queries with the same first document."),
        ]
    if report.wanted.calibrate:
        found += [
            (
                "ECE",
                "Expected calibration error: how far probabilities are from the share of relevant "
                f"candidates, mean over {BINS} bins of equal mass; 0 is best. Relevant: grade "
                f"{rules.relevant} or more; who was not judged is not.",
            ),
            ("Brier", "Mean squared error of the probabilities; it rewards telling apart, too."),
            ("sigmoid", "1 / (1 + exp(-score)), nothing fitted: what the score says by itself."),
            ("temperature", "sigmoid(score / T)."),
            ("affine", "sigmoid(a score + b), a at least 0 (Platt)."),
            (
                "isotonic",
                "Any rising steps. It ties two documents of one query that are on the same step.",
            ),
            (
                "crosswise",
                f"Maps are fitted on {FOLDS - 1} fifths of the queries and judged on the other; "
                "the parameters shown are of a fit on all. No map turns two documents around: "
                "rank by scores, read probabilities.",
            ),
        ]
    return tuple(found)


def _meaning(measure: Measure, rules: Rules) -> str:
    top = "all candidates" if measure.cutoff is None else f"the first {measure.cutoff}"
    relevant = f"Relevant: grade {rules.relevant} or more."
    none = "Queries without a judged relevant document are left out."
    match measure.name:
        case "ndcg":
            return (
                f"Sum over {top} of gain / log2(rank + 1), divided by that of the ideal ranking of "
                f"all judged documents, candidates or not. Gain: {_GAINS[rules.gain]}. Equal "
                "scores rank by document id. Queries without a judged document of grade 1 or more "
                "are left out."
            )
        case "mrr":
            return f"1 / rank of the first relevant one among {top}, else 0. {relevant} {none}"
        case "map":
            return (
                f"Mean precision at the ranks of relevant documents among {top}; relevant ones "
                f"that are not there count 0. {relevant} {none}"
            )
        case "p":
            return f"Share of relevant documents among {top}; gaps count. {relevant} {none}"
        case "recall":
            ceiling = (
                " No order of the candidates changes it: the ceiling of them all."
                if measure.cutoff is None
                else ""
            )
            return f"Share of all judged relevant documents that is among {top}.{ceiling} {none}"
        case _:
            return f"Share of {top} that somebody judged. Low: the other numbers guess."
