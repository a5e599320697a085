"""The sums of a window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.bench.arrivals import evenly, poisson
from ranklift.rankers.bench.flops import Peak, Shape, share_of_peak
from ranklift.rankers.bench.outcomes import OK, Outcome, Reply, Window, quantiles, summarize
from ranklift.rankers.bench.rounds import Ratio, ratio

MINILM = Shape(layers=6, width=384, feed_forward=1_536)


def test_quantiles_are_latencies_that_some_request_had() -> None:
    found = quantiles([float(n) for n in range(1, 201)])
    assert (found.p50, found.p90, found.p99, found.max) == (100, 180, 198, 200)


def test_p99_of_fewer_than_100_answers_is_the_slowest() -> None:
    assert quantiles([float(n) for n in range(99)]).p99 == 98
    assert quantiles([float(n) for n in range(100)]).p99 == 98


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_so_many_requests_are_within_a_quantile_and_no_smaller_latency_will_do(
    latencies: list[float],
) -> None:
    found = quantiles(latencies)
    for share, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99), (1, found.max)):
        assert value in latencies
        assert np.mean([each <= value for each in latencies]) >= share - 1e-9
        assert np.mean([each < value for each in latencies]) < share + 1e-9


def outcome(finished: float, reply: Reply, pairs: int = 10) -> Outcome:
    return Outcome(intended=0.0, sent=0.0, finished=finished, pairs=pairs, reply=reply)


def test_only_answers_count_for_throughput_and_latency() -> None:
    window = Window(
        started=0.0,
        planned=2.0,
        outcomes=(
            outcome(0.5, Reply(OK, tokens=700, numerics="fp32")),
            outcome(1.0, Reply(OK, tokens=300, numerics="bf16"), pairs=5),
            outcome(1.5, Reply("HTTP 429")),
            outcome(1.6, Reply("HTTP 429")),
            outcome(1.7, Reply("INCOMPLETE")),
        ),
    )
    summary = summarize(window)
    assert summary.requests == 5
    assert summary.answered == 2
    assert summary.refused == {"HTTP 429": 2, "INCOMPLETE": 1}
    assert summary.seconds == 2.0, "the whole plan, though the last answer came before"
    assert summary.pairs_per_second == 7.5
    assert summary.tokens_per_second == 500
    assert summary.numerics == ("bf16", "fp32")
    assert summary.latency is not None
    assert summary.latency.max == 1.0


def test_tokens_a_second_are_unknown_when_a_reply_does_not_tell() -> None:
    window = Window(0.0, 1.0, (outcome(0.5, Reply(OK, tokens=700)), outcome(0.6, Reply(OK))))
    assert summarize(window).tokens_per_second is None


def test_an_empty_window_has_no_latency_and_no_throughput() -> None:
    summary = summarize(Window(3.0, 1.0, ()))
    assert (summary.requests, summary.latency, summary.pairs_per_second) == (0, None, 0)


def test_ratios_are_of_the_same_round() -> None:
    # The machine was twice as slow in the second round: the ratio does not see it.
    assert ratio([300, 150, 330], [100, 50, 100]) == Ratio(median=3.0, min=3.0, max=3.3)


def test_evenly_spaced_requests_are_due_at_multiples() -> None:
    np.testing.assert_allclose(evenly(4, 1.0), [0, 0.25, 0.5, 0.75])
    assert len(evenly(0.5, 1.0)) == 1


def test_poisson_arrivals_have_the_rate_and_exponential_gaps() -> None:
    times = poisson(100, 200.0, rng=np.random.default_rng(1))
    assert len(times) == pytest.approx(20_000, abs=4 * np.sqrt(20_000))
    assert times[0] >= 0
    assert times[-1] < 200
    gaps = np.diff(times)
    assert gaps.min() >= 0
    # Of an exponential distribution standard deviation and mean are equal.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_operations_of_minilm_are_those_of_its_layers_by_hand() -> None:
    # 6 layers, 100 tokens: 2*100*(4*384^2 + 2*384*1536) + 2*2*100^2*384 = 369,254,400 a layer.
    assert MINILM.flops(pairs=1, tokens=100) == 6 * (353_894_400 + 15_360_000)
    assert MINILM.flops(pairs=10, tokens=1_000) == 10 * MINILM.flops(1, 100)


def test_the_share_of_the_peak_is_what_was_needed_by_what_was_possible() -> None:
    reply = Reply(OK, tokens=1_000, numerics="bf16", digest="d")
    window = Window(0.0, 2.0, (outcome(1.0, reply), outcome(2.0, reply)))
    peak = Peak({"fp32": 1.0, "bf16": MINILM.flops(10, 1_000) * 4}, threads=2)
    assert share_of_peak(window, {"d": MINILM}, peak) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(OK, tokens=1_000, numerics="bf16", digest="another"),
        Reply(OK, tokens=None, numerics="bf16", digest="d"),
        Reply(OK, tokens=1_000, numerics="int8", digest="d"),
    ],
    ids=["another artefact", "no tokens", "no peak of these numerics"],
)
def test_a_share_that_cannot_be_told_is_no_number(reply: Reply) -> None:
    window = Window(0.0, 1.0, (outcome(1.0, reply),))
    assert share_of_peak(window, {"d": MINILM}, Peak({"bf16": 1e9}, threads=2)) is None
