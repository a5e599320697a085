"""The command on a judged collection: from its flags to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ranklift.cli.collections import judged_ground
from ranklift.cli.output import bar
from ranklift.cli.reproduce.collection import (
    COSINE,
    LABELS,
    TEACHER,
    WORDS,
    CollectionRun,
    distilled,
)
from ranklift.cli.reproduce.collection_students import CollectionScale
from ranklift.cli.reproduce.report import write_report
from ranklift.cli.reproduce.results import NDCG_10, Result
from ranklift.cli.reproduce.run_folder import RunFolder, check_out
from ranklift.cli.simulate.pages import Page
from ranklift.lift.render.grid import Grid, Row
from ranklift.rankers.evaluation import Difference, Evaluation, compare
from ranklift.rankers.pretrained import minilm_folder, mpnet_folder
from ranklift.v1.errors import InvalidRequest

LEAST_GAIN, LEAST_SHARE = 0.05, 0.97
METRICS = ("ndcg@10", "pair_accuracy")
TEACHERS = ("minilm", "mpnet")


def reproduce_collection(
    collection: Path, folds: str, teacher: str, warm_steps: int, out: Path
) -> None:
    """Run the folds that are not run yet, and report them.

    Raises:
        InvalidRequest: there is no such fold or teacher, the folder cannot be written, or the
            collection is not as it must be.
        NotFound: there is no collection.
        NotReady: the teacher's weights are not installed.
    """
    if teacher not in TEACHERS:
        raise InvalidRequest.of("teacher", f'"{teacher}" must be one of {", ".join(TEACHERS)}')
    scale = _scale(warm_steps)
    chosen = _folds(folds, scale.folds)
    check_out(out)
    encoder = mpnet_folder(out / "pretrained" / "mpnet") if teacher == "mpnet" else minilm_folder()
    run = CollectionRun(
        name=collection.name,
        ground=judged_ground(collection, scale.depth),
        teacher=encoder,
        pretrained=minilm_folder(),
        kept=RunFolder(out, {"ranklift": version("ranklift"), "torch": torch.__version__}),
        scale=scale,
    )
    results: list[Result] = []
    with bar(collection.name) as progress:
        for done, fold in enumerate(chosen, start=1):
            results += run.results(fold)
            progress.update(done, len(chosen))
    pooled = run.pooled(chosen)
    page = page_of(results, pooled, chosen, scale, f"{collection.name}, teacher {teacher}")
    command = (
        f"ranklift reproduce --collection {collection.name} --folds {folds} --teacher {teacher} "
        f"--warm-steps {warm_steps}"
    )
    write_report(page, values_of(results, pooled), out, command)


def page_of(
    results: Sequence[Result],
    pooled: Mapping[str, Evaluation],
    folds: Sequence[int],
    scale: CollectionScale,
    title: str,
) -> Page:
    """Return what systems did, fold by fold and together, and whether the student is what it
    should be."""
    units = [f"fold {fold + 1}" for fold in folds]
    by_fold = {(each.system, each.unit): each.figures[NDCG_10] for each in results}
    students = [distilled(layers) for layers in scale.layers]
    against = {
        system: compare(pooled[WORDS], pooled[system], metrics=METRICS)
        for system in pooled
        if system != WORDS
    }
    grids = (
        Grid(
            "NDCG@10 by fold, and of all test queries together",
            ("", *units, "together", "95 % interval", "PNR", "pair accuracy"),
            1,
            tuple(
                Row(
                    (
                        system,
                        *(f"{by_fold[system, unit]:.4f}" for unit in units),
                        f"{each.ndcg[10].value:.4f}",
                        f"{each.ndcg[10].lower:.4f} to {each.ndcg[10].upper:.4f}",
                        f"{each.pnr.value:.3f}",
                        f"{each.pair_accuracy.value:.4f}",
                    )
                )
                for system, each in pooled.items()
            ),
            note=f"{next(iter(pooled.values())).queries} queries. Intervals: a bootstrap over "
            "queries. The ideal ranking covers all judged documents.",
        ),
        Grid(
            f"Against {WORDS}",
            ("", "NDCG@10", "95 % interval", "p", "pair accuracy", "95 % interval", "p"),
            1,
            tuple(
                Row((system, *(cell for one in found for cell in _cells(one))))
                for system, found in against.items()
            ),
            note="Differences on the same queries; p by a randomisation test over queries, "
            "two-sided, not corrected for several systems.",
        ),
        _students(pooled, against, students),
    )
    lead = (
        f"Candidates: BM25's best {scale.depth}. {len(folds)} of {scale.folds} folds by query"
        + ("." if len(folds) == scale.folds else "; the others were not run."),
        f"The teacher is the cosine of a pretrained sentence encoder fused with BM25, whose weight "
        f"is fitted on a fold's training queries. Students: MiniLM cross-encoders, distilled "
        f"(hybrid loss) from {scale.made_up} made-up queries, once for all folds, then from the "
        f"fold's training queries; no judgment is read. Inputs of {scale.max_tokens} tokens. "
        "The student of labels alone is fine-tuned on the training queries' judgments.",
    )
    return Page(f"A student on a judged collection: {title}", lead, grids)


def values_of(results: Sequence[Result], pooled: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return the figures as JSON holds them."""
    return {
        "folds": [asdict(each) for each in results],
        "together": {
            system: {
                "queries": each.queries,
                "ndcg@10": asdict(each.ndcg[10]),
                "pnr": asdict(each.pnr),
                "pair_accuracy": asdict(each.pair_accuracy),
            }
            for system, each in pooled.items()
        },
    }


def _students(
    pooled: Mapping[str, Evaluation],
    against: Mapping[str, Sequence[Difference]],
    students: Sequence[str],
) -> Grid:
    teacher, labels = pooled[TEACHER].ndcg[10].value, pooled[LABELS]
    rows = []
    for system in students:
        gain = against[system][0].difference
        share = pooled[system].ndcg[10].value / teacher
        over = compare(labels, pooled[system], metrics=METRICS)[0]
        rows.append(
            Row(
                (
                    system,
                    f"{gain:+.4f} ({'reached' if gain >= LEAST_GAIN else 'missed'})",
                    f"{share:.1%} ({'reached' if share >= LEAST_SHARE else 'missed'})",
                    f"{over.difference:+.4f}",
                    f"{over.lower:+.4f} to {over.upper:+.4f}",
                )
            )
        )
    return Grid(
        "What a student should be",
        (
            "",
            f"NDCG@10 over {WORDS}, wanted {LEAST_GAIN:+.2f}",
            f"of the teacher's, wanted {LEAST_SHARE:.0%}",
            "over labels alone",
            "95 % interval",
        ),
        1,
        tuple(rows),
        note=f"{COSINE} alone reaches {pooled[COSINE].ndcg[10].value:.4f}.",
    )


def _cells(found: Difference) -> tuple[str, str, str]:
    return (
        f"{found.difference:+.4f}",
        f"{found.lower:+.4f} to {found.upper:+.4f}",
        f"{found.p_value:.2g}",
    )


def _scale(warm_steps: int) -> CollectionScale:
    scale = CollectionScale()
    return replace(scale, made_up=warm_steps * scale.made_up_lists)


def _folds(text: str, count: int) -> list[int]:
    """Return the folds, from 0, that "1,2" names."""
    try:
        chosen = sorted({int(part) - 1 for part in text.split(",")})
    except ValueError:
        chosen = [-1]
    if not chosen or not all(0 <= fold < count for fold in chosen):
        raise InvalidRequest.of("folds", f'"{text}" must be numbers from 1 to {count}, as in 1,2')
    return chosen
