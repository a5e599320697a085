"""`ranklift evaluate`: how well systems order a judged collection."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ranklift.cli.data_options import Candidates, Data, Depth, Qrels, Split
from ranklift.cli.options import Home
from ranklift.cli.output import bar


class Format(StrEnum):
    """How the evaluation is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


class Gain(StrEnum):
    """What a grade y is worth in NDCG."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Ties(StrEnum):
    """Where a pair of equal scores counts."""

    NEITHER = "neither"
    HALF = "half"


def evaluate(
    systems: Annotated[
        list[str],
        typer.Argument(
            help="model@version, the folder of a model, or a TREC run; the first is the baseline."
        ),
    ],
    data: Data,
    fold: Annotated[
        str, typer.Option(help='"2/5": judge on the second of five parts of the queries.')
    ] = "",
    learnt_from: Annotated[
        str, typer.Option(help="Data that the systems learnt from: what leaked is said.")
    ] = "",
    learnt_split: Annotated[
        str, typer.Option(help="The part of --learnt-from: train, dev, ...")
    ] = "",
    depth: Depth = 50,
    data_format: Annotated[str, typer.Option(help="How the data is written, if unclear.")] = "",
    split: Split = "",
    qrels: Qrels = None,
    run: Candidates = None,
    measures: Annotated[
        str, typer.Option(help="Of ndcg, mrr, map, p, recall, judged; @k cuts off at a rank.")
    ] = "ndcg@5,ndcg@10,mrr,map,p@5,recall,judged@10",
    gain: Annotated[Gain, typer.Option(help="Of a grade y in NDCG: y, or 2^y - 1.")] = Gain.LINEAR,
    ties: Annotated[
        Ties, typer.Option(help="Where pairs of equal scores count: in neither side, or half.")
    ] = Ties.NEITHER,
    relevant: Annotated[
        int,
        typer.Option(min=1, help="The lowest grade that counts as relevant."),
    ] = 1,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Test the others against the baseline.")
    ] = True,
    distributions: Annotated[
        bool, typer.Option("--distributions", help="How scores are spread, and how alike.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit maps to probabilities; judge them crosswise.")
    ] = False,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst queries to name.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of bootstrap, test and folds.")] = 0,
    style: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; the terminal when not given.")
    ] = None,
    home: Home = None,
) -> None:
    """Evaluate systems on the same candidates of judged queries.

    Documents that nobody judged count as not relevant.

    Example: `ranklift evaluate bm25@1 student@2 --data data/cranfield --format html
    --output evaluation.html`
    """
    from ranklift.cli.evaluate.ground import judged_lists
    from ranklift.cli.evaluate.leaked import tell_leakage
    from ranklift.cli.evaluate.report import Wanted, make_report
    from ranklift.cli.evaluate.systems import find_sources, score
    from ranklift.cli.evaluate.writing import check_output, write
    from ranklift.cli.lessons import choice_of
    from ranklift.rankers.evaluation import Rules, parse_measures
    from ranklift.v1.errors import InvalidRequest

    if learnt_split and not learnt_from:
        raise InvalidRequest.of("learnt_split", "of what is not said; give --learnt-from")
    rules = Rules(
        measures=parse_measures(measures),
        gain="linear" if gain is Gain.LINEAR else "exponential",
        ties="neither" if ties is Ties.NEITHER else "half",
        relevant=relevant,
    )
    check_output(style, output)
    sources = find_sources(systems, home)
    choice = choice_of(data_format, split, qrels, run, depth)
    ground = judged_lists(data, choice, fold, home)
    if learnt_from:
        tell_leakage(learnt_from, learnt_split, ground, home, data=data, choice=choice, fold=fold)
    scored = []
    for source in sources:
        with bar(escape(source.name)) as progress:
            scored.append(score(source, ground, progress.update))
    wanted = Wanted(
        rules,
        compare=compare,
        distributions=distributions,
        calibrate=calibrate,
        worst=worst,
        seed=seed,
    )
    write(make_report(scored, ground, wanted), style, output)
