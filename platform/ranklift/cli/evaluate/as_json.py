"""The report as JSON, schema "ranklift.evaluation/1": floats unrounded, keys in a fixed order.

docs/evaluation.schema.json describes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ranklift.cli.evaluate.report import SCHEMA, EvaluationReport, System
from ranklift.rankers.calibration import Calibrated, Isotonic, Logistic
from ranklift.rankers.evaluation import LEVEL, RESAMPLES, Comparison, Evaluation
from ranklift.rankers.evaluation.distributions import Distances, Histogram


def to_json(report: EvaluationReport) -> str:
    """Return the report as JSON text, the same bytes for the same report.

    What there is not is null; so is what is infinite.
    """
    ground, wanted = report.ground, report.wanted
    content = {
        "schema": SCHEMA,
        "version": report.version,
        "collection": ground.collection,
        "candidates": ground.candidates,
        "queries": len(ground.lists),
        "queries_without_candidates": ground.without,
        "rules": {
            "measures": [str(measure) for measure in wanted.rules.measures],
            "gain": wanted.rules.gain,
            "ties": wanted.rules.ties,
            "relevant": wanted.rules.relevant,
            "unjudged": "not relevant",
            "ideal_ranking": "all judged documents",
            "equal_scores": "by document id, ascending",
            "without_relevant_documents": "left out",
        },
        "confidence_level": LEVEL,
        "resamples": RESAMPLES,
        "seed": wanted.seed,
        "baseline": report.systems[0].name,
        "systems": [_system(each) for each in report.systems],
        "best_order": _figures(report.ceiling, intervals=False),
        "comparisons": [_comparison(each) for each in report.comparisons],
        "distances": [
            {"system": name, "baseline": report.systems[0].name, **_distances(each)}
            for name, each in report.distances.items()
        ],
        "per_query": _per_query(report),
    }
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)


def _system(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "digest": system.digest,
        "note": system.note,
        **_figures(system.evaluation, intervals=True),
        "separation": None if system.separation is None else _histogram(system.separation),
        "calibration": [_calibrated(each) for each in system.calibrated],
    }


def _figures(found: Evaluation, *, intervals: bool) -> dict[str, Any]:
    figures = {
        "pair_accuracy": found.pair_accuracy,
        "pnr": found.pnr,
        "pnr_unsmoothed": found.pnr_unsmoothed,
        "judged_pair_accuracy": found.judged_pair_accuracy,
        "judged_pnr": found.judged_pnr,
        **found.measures,
    }
    return {
        "pairs": found.pairs,
        "judged_pairs": found.judged_pairs,
        "tied": found.tied,
        "figures": {
            name: None
            if each is None
            else {
                **(asdict(each) if intervals else {"value": each.value}),
                "queries": found.measured.get(name, found.queries),
            }
            for name, each in figures.items()
        },
    }


def _comparison(each: Comparison) -> dict[str, Any]:
    return {
        "system": each.system,
        "baseline": each.baseline,
        "metric": each.found.metric,
        "baseline_value": each.found.a,
        "system_value": each.found.b,
        "difference": each.found.difference,
        "lower": each.found.lower,
        "upper": each.found.upper,
        "p_value": each.found.p_value,
        "exact": each.found.exact,
        "p_holm": each.p_holm,
    }


def _distances(each: Distances) -> dict[str, Any]:
    return {
        "baseline_scores": asdict(each.first),
        "system_scores": asdict(each.second),
        "ks": each.ks,
        "overlap": each.histogram.overlap,
        "histogram": _histogram(each.histogram),
        "standardised_ks": each.standardised_ks,
        "standardised_overlap": each.standardised.overlap if each.standardised else None,
        "standardised_histogram": _histogram(each.standardised) if each.standardised else None,
        "kendall_tau": each.agreement.kendall_tau,
        "top_1": each.agreement.top_1,
    }


def _histogram(each: Histogram) -> dict[str, Any]:
    return {"edges": each.edges, "first": each.first, "second": each.second}


def _calibrated(each: Calibrated) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    match each.found:
        case Logistic(slope=slope, offset=offset):
            parameters = {"slope": slope, "offset": offset}
        case Isotonic(scores=scores, values=values):
            parameters = {"scores": scores, "values": values}
    return {
        "map": each.name,
        "parameters": parameters,
        "ece": each.reliability.ece,
        "brier": each.reliability.brier,
        "ties": each.ties,
        "bins": [asdict(one) for one in each.reliability.bins],
    }


def _per_query(report: EvaluationReport) -> list[dict[str, Any]]:
    return [
        {
            "query": query_id,
            "text": each.query,
            "candidates": len(each.documents),
            "systems": {
                system.name: {
                    "concordant": int(found.concordant[row]),
                    "discordant": int(found.discordant[row]),
                    "tied": int(found.tied[row]),
                    **{name: values[row] for name, values in found.measures.items()},
                }
                for system in report.systems
                for found in [system.evaluation.per_query]
            },
        }
        for row, (query_id, each) in enumerate(
            zip(report.ground.query_ids, report.ground.lists, strict=True)
        )
    ]


def _plain(value: Any) -> Any:
    """Return arrays as lists and what is no number as None."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):  # numpy's 64-bit floats are floats
        return float(value) if math.isfinite(value) else None
    return value
