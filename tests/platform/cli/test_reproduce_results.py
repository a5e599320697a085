"""What results say of a paper's claims: hand-worked cases, and scipy's t test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ranklift.cli.reproduce.distributions import BINS, bars, distribution_of
from ranklift.cli.reproduce.experiments import Experiment, Language, Stage, Teacher, Words, key_of
from ranklift.cli.reproduce.likelihood import likelihoods
from ranklift.cli.reproduce.results import (
    LOG_PNR,
    Claim,
    Result,
    Verdict,
    judge,
    mean_of,
    paired,
)
from ranklift.cli.reproduce.run_folder import RunFolder
from ranklift.cli.reproduce.scale import TINY
from ranklift.cli.reproduce.speed import Speed
from ranklift.cli.reproduce.systems import System
from ranklift.cli.reproduce.tables import claims_grid, results_grid, units_grid, verdict_sentence
from ranklift.cli.reproduce.tuning import choose, tune
from ranklift.rankers.backbones import Size, new_decoder
from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.tokenizers import train_tokenizer
from ranklift.v1.errors import InvalidRequest

METRIC = (LOG_PNR,)


def results(**systems: list[float]) -> list[Result]:
    return [
        Result(system, f"seed {seed}", {LOG_PNR: value})
        for system, values in systems.items()
        for seed, value in enumerate(values)
    ]


def test_the_mean_of_1_2_3_has_the_interval_of_the_t_table() -> None:
    found = mean_of([1.0, 2.0, 3.0])
    # Deviation 1, 2 degrees of freedom: 4.3027 / sqrt(3) on either side.
    assert found.value == 2.0
    assert found.lower == pytest.approx(2 - 2.4841, abs=1e-4)
    assert found.upper == pytest.approx(2 + 2.4841, abs=1e-4)


def test_paired_differences_are_those_of_scipys_paired_test() -> None:
    a, b = np.random.default_rng(5).normal(size=(2, 6))
    found = paired(results(a=a.tolist(), b=b.tolist()), "a", "b", LOG_PNR).mean
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.value == pytest.approx(float((a - b).mean()))
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))


def test_one_unit_has_a_value_and_no_interval() -> None:
    found = mean_of([0.5])
    assert (found.value, found.lower, found.upper) == (0.5, None, None)


@pytest.mark.parametrize(
    ("better", "verdict"),
    [
        pytest.param([2.0, 2.1, 2.2], Verdict.HOLDS, id="above on every seed by about 1"),
        pytest.param([0.0, 0.1, 0.2], Verdict.DOES_NOT_HOLD, id="below on every seed by about 1"),
        pytest.param([1.0, 3.1, 0.2], Verdict.NOT_SHOWN, id="here above, there below"),
        pytest.param([1.0, 1.1, 1.2], Verdict.DOES_NOT_HOLD, id="the same on every seed"),
    ],
)
def test_a_claim_is_judged_by_the_interval_of_its_differences(
    better: list[float], verdict: Verdict
) -> None:
    found = judge(Claim("a beats b", "a", ("b",), METRIC), results(a=better, b=[1.0, 1.1, 1.2]))
    assert found.verdict is verdict
    assert verdict.upper() in verdict_sentence(found)


def test_a_claim_holds_only_if_all_it_says_holds() -> None:
    rows = results(a=[2.0, 2.1, 2.2], b=[1.0, 1.1, 1.2], c=[1.0, 3.0, 2.0])
    assert judge(Claim("", "a", ("b",), METRIC), rows).verdict is Verdict.HOLDS
    assert judge(Claim("", "a", ("b", "c"), METRIC), rows).verdict is Verdict.NOT_SHOWN


def test_one_seed_alone_shows_nothing() -> None:
    claim = Claim("", "a", ("b",), METRIC)
    assert judge(claim, results(a=[9.0], b=[1.0])).verdict is Verdict.NOT_SHOWN


def test_no_seed_can_be_left_out_of_a_comparison() -> None:
    with pytest.raises(InvalidRequest, match='"a" and "b" are not both measured on seed 1'):
        paired(results(a=[1.0, 2.0], b=[1.0]), "a", "b", LOG_PNR)


def test_a_system_that_is_there_twice_or_never_is_refused() -> None:
    with pytest.raises(InvalidRequest, match='"a" is there twice on seed 0'):
        paired(results(a=[1.0]) * 2, "a", "a", LOG_PNR)
    with pytest.raises(InvalidRequest, match='"z" was not measured'):
        paired(results(a=[1.0]), "a", "z", LOG_PNR)


def test_tables_show_every_seed_and_the_difference_to_a_system() -> None:
    figures = {"pnr": 2.0, "log_pnr": 0.5, "pair_accuracy": 0.75, "ndcg@5": 0.5}
    better = {**figures, "log_pnr": 0.75}
    rows = [Result("a", "fold 1", figures), Result("b", "fold 1", better)]
    table = results_grid("t", ("a", "b"), rows, against="a")
    assert table.columns[-2:] == ("log PNR minus a's", "NDCG@5 minus a's")
    assert table.rows[0].cells[-2:] == ("", "")
    assert table.rows[1].cells[-2:] == ("+0.2500", "+0.0000")
    assert units_grid("u", ("a", "b"), rows).rows[0].cells == ("a", "0.7500")
    claim = claims_grid(judge(Claim("b beats a", "b", ("a",), (LOG_PNR,)), rows))
    assert claim.rows[0].cells == ("b - a", "log PNR", "+0.2500", "1 of 1", "+0.2500")


def log_pnr(table: dict[tuple[int, float], float]) -> Any:
    """Return what an experiment of `system` on a seed at a rate reaches."""

    def figures(experiment: Experiment) -> dict[str, float]:
        assert isinstance(experiment, Teacher)
        return {LOG_PNR: table[experiment.seed, experiment.rate]}

    return figures


def system(*rates: float) -> System:
    return System("s", lambda seed, rate: Teacher(Language(seed, ()), 1, rate), rates)


def test_the_rate_taken_is_best_on_average_over_the_tuning_seeds() -> None:
    # 0.1 has the best single seed, 0.2 the best mean.
    table = {(1, 0.1): 3.0, (2, 0.1): 0.0, (1, 0.2): 2.0, (2, 0.2): 2.0, (1, 0.3): 1, (2, 0.3): 1}
    found = tune(system(0.1, 0.2, 0.3), (1, 2), log_pnr(table))
    assert found.rate == 0.2
    assert found.tried == {0.1: 1.5, 0.2: 2.0, 0.3: 1.0}
    assert not found.at_edge
    assert tune(system(0.1, 0.2), (1, 2), log_pnr(table)).at_edge


def test_of_equal_rates_the_lowest_is_taken_and_a_single_one_is_not_tried() -> None:
    assert tune(system(0.2, 0.1), (1,), log_pnr({(1, 0.1): 1.0, (1, 0.2): 1.0})).rate == 0.1
    alone = tune(system(0.7), (1,), log_pnr({}))
    assert (alone.rate, alone.tried, alone.at_edge) == (0.7, {}, False)


def test_what_is_made_is_made_once_for_each_key_and_maker(tmp_path: Path) -> None:
    made: list[str] = []

    def maker(name: str) -> dict[str, str]:
        made.append(name)
        return {"made": name}

    key = key_of(Language(0, (Stage("clicks", 5, 0.1),)))
    other = key_of(Language(0, (Stage("clicks", 6, 0.1),)))
    folder = RunFolder(tmp_path, {"torch": "1"})
    assert folder.recall(key, lambda: maker("first")) == {"made": "first"}
    assert folder.recall(key, lambda: maker("again")) == {"made": "first"}
    assert folder.recall(other, lambda: maker("other")) == {"made": "other"}
    assert RunFolder(tmp_path, {"torch": "2"}).recall(key, lambda: maker("new")) == {"made": "new"}
    assert made == ["first", "other", "new"]


def test_another_rate_or_seed_keeps_what_was_made_and_another_world_does_not() -> None:
    rates = replace(TINY, student_rates=(1.0,), tuning_seeds=(7,), depths=(3,), student_steps=9)
    assert rates.unsaid() == TINY.unsaid()
    for other in (replace(TINY, past_users=7), replace(TINY, lists=9), replace(TINY, clicks=9)):
        assert other.unsaid() != TINY.unsaid()


def test_a_result_says_what_made_it(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"torch": "1"}).recall(key_of(Words(3)), lambda: {"figure": 1.0})
    (path,) = (tmp_path / "results").iterdir()
    assert json.loads(path.read_text())["key"] == {
        "made_by": {"torch": "1"},
        "kind": "words",
        "seed": 3,
    }


def test_a_run_that_dies_leaves_no_half_result(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})

    def dies() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.recall(key_of(Words(0)), dies)
    assert folder.recall(key_of(Words(0)), lambda: {"figure": 1.0}) == {"figure": 1.0}


def test_a_result_that_is_none_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    folder.recall(key_of(Words(0)), lambda: {"figure": 1.0})
    (path,) = (tmp_path / "results").iterdir()
    path.write_text("{", "utf-8")
    with pytest.raises(InvalidRequest, match=f'"{path}" is no result of an experiment; delete it'):
        folder.recall(key_of(Words(0)), lambda: {"figure": 1.0})


def test_the_distance_to_the_teacher_falls_into_offset_and_rest() -> None:
    rng = np.random.default_rng(1)
    wanted = [rng.normal(size=4) for _ in range(3)]
    scores = [each + rng.normal() + 0.3 * rng.normal(size=4) for each in wanted]
    found = distribution_of(scores, wanted)
    # L_point = b^2 + v, over lists of one length.
    point = np.mean([(a - b) ** 2 for a, b in zip(scores, wanted, strict=True)])
    assert found.offset**2 + found.within**2 == pytest.approx(point)
    assert distribution_of(wanted, wanted).within == 0.0


def test_scores_beyond_the_ends_count_as_the_end() -> None:
    found = distribution_of([np.array([-9.0, 0.1, 9.0, 2.9])], [np.zeros(4)])
    counts = np.array(found.counts)
    assert counts.sum() == 4
    assert (counts[0], counts[12], counts[-1]) == (1, 1, 2)
    assert len(counts) == len(BINS) - 1


def test_a_histogram_is_a_line_of_text() -> None:
    assert bars(np.array([0, 1, 4, 8, 2])) == "·▂▅█▃"


def test_cost_is_taken_round_by_round() -> None:
    slow = Speed("slow", 10, (1.0, 2.0, 4.0), (100, 100, 100))
    quick = Speed("quick", 5, (0.5, 0.5, 0.5), (50, 50, 50))
    assert quick.cost_against(slow)[1] == 0.25  # of 1/2, 1/4 and 1/8
    assert quick.milliseconds == (500.0, 500.0, 500.0)
    assert quick.pairs_per_second[1] == 100.0
    assert slow.tokens_per_second == (37.5, 50.0, 75.0)


def test_the_likelihood_of_a_document_is_the_language_models_loss() -> None:
    tokenizer = train_tokenizer(["red green blue one two three four"], 100)
    model = new_decoder(Size(1, 16, 2, 32), tokenizer, 16, seed=3)
    model.eval()  # type: ignore[no-untyped-call]
    encoder = PairEncoder(tokenizer, "decoder", 16)
    documents = (Text("1", "one", "red two"), Text("2", "four", ""), Text("3", "blue", "green one"))
    lists = [
        RankingList("red one", documents[:2], (0.0, 0.0)),
        RankingList("two", documents[2:], (0.0,)),
    ]
    found = likelihoods(model, encoder, lists)
    assert [each.shape for each in found] == [(2,), (1,)]
    for each, values in zip(lists, found, strict=True):
        for document, value in zip(each.documents, values, strict=True):
            (pair,) = encoder.encode(each.query, [document]).pairs
            ids = torch.tensor([pair.ids])
            labels = ids.clone()
            labels[0, : pair.start] = -100  # what transformers leaves out of its loss
            assert value == pytest.approx(
                -model(input_ids=ids, labels=labels).loss.item(), abs=1e-5
            )


def test_a_grid_is_widened_where_its_best_rate_lies_at_its_edge_and_no_further() -> None:
    def reached(best: float) -> Callable[[Experiment], dict[str, float]]:
        def figures(experiment: Experiment) -> dict[str, float]:
            assert isinstance(experiment, Teacher)
            assert experiment in made
            return {LOG_PNR: -abs(math.log(experiment.rate / best))}

        return figures

    def make(by_seed: Mapping[int, Sequence[Experiment]]) -> None:
        made.extend(each for experiments in by_seed.values() for each in experiments)

    for best, rate, tried in (
        (0.2, 0.2, [0.1, 0.2, 0.4]),
        (0.8, 0.8, [0.1, 0.2, 0.4, 0.8, 1.6]),
        (0.05, 0.05, [0.025, 0.05, 0.1, 0.2, 0.4]),
        (9.0, 1.6, [0.1, 0.2, 0.4, 0.8, 1.6]),
    ):
        made: list[Experiment] = []
        found = choose(
            [system(0.1, 0.2, 0.4), System("BM25", system().at)], (1, 2), make, reached(best)
        )
        assert list(found) == ["s"]
        assert (found["s"].rate, sorted(found["s"].tried)) == (rate, tried)
    assert found["s"].at_edge
