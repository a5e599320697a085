"""Generated sends: Poisson at the stated rate, day and bursts, and the same however many."""

import numpy as np
import pytest
from scipy import stats

from ranklift.simulator.arrivals import TWO_PEAKS, Bursts, Load, arrivals, burst_spans
from ranklift.v1.errors import InvalidRequest


def test_a_constant_load_is_a_poisson_process() -> None:
    """Gaps are exponential, and counts of equal parts as spread as Poisson numbers are."""
    seconds = arrivals(Load(rate=50.0), 20_000, seed=3)
    assert (np.diff(seconds, prepend=0.0) > 0).all()
    gaps = np.diff(seconds)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50.0)).pvalue > 0.01
    counts = np.bincount(seconds.astype(np.int64))[:-1]
    assert counts.mean() == pytest.approx(50.0, rel=0.03)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.25)


def test_more_sends_begin_alike_and_another_seed_does_not() -> None:
    load = Load(rate=20.0, bursts=Bursts())
    few, many = arrivals(load, 100, seed=1), arrivals(load, 5_000, seed=1)
    np.testing.assert_allclose(many[:100], few)
    assert not np.allclose(arrivals(load, 100, seed=2), few)


def test_the_hours_of_a_day_have_their_shares_and_days_repeat() -> None:
    load = Load(rate=100.0, day=TWO_PEAKS, day_seconds=24.0)
    seconds = arrivals(load, 48_000, seed=5)
    days = seconds[-1] / 24.0
    assert days == pytest.approx(20.0, rel=0.02)
    hours = np.bincount((seconds % 24.0).astype(np.int64), minlength=24) / len(seconds)
    np.testing.assert_allclose(hours, np.array(TWO_PEAKS) / sum(TWO_PEAKS), atol=0.004)


def test_nothing_is_sent_where_the_rate_is_zero() -> None:
    seconds = arrivals(Load(rate=100.0, day=(0.0, 1.0), day_seconds=10.0), 5_000, seed=5)
    assert (seconds % 10.0 >= 5.0).all()


def test_during_a_burst_the_rate_is_the_stated_multiple() -> None:
    bursts = Bursts(factor=8.0, seconds=3.0, mean_gap_seconds=10.0)
    seconds = arrivals(Load(rate=40.0, bursts=bursts), 60_000, seed=9)
    spans = burst_spans(bursts, 9, float(seconds[-1]))
    begin, end = spans.T
    assert (begin[1:] > end[:-1]).all()
    assert (begin[1:] - end[:-1]).mean() == pytest.approx(10.0, rel=0.35)
    inside = np.searchsorted(begin, seconds) > np.searchsorted(end, seconds)
    length = np.minimum(end, seconds[-1]) - begin
    in_bursts = float(length.sum())
    assert inside.sum() / in_bursts == pytest.approx(8 * 40.0, rel=0.03)
    assert (~inside).sum() / (seconds[-1] - in_bursts) == pytest.approx(40.0, rel=0.03)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rate": 0.0}, "load.rate"),
        ({"rate": 1.0, "day": (0.0, 0.0)}, "load.day"),
        ({"rate": 1.0, "day": (1.0, -1.0)}, "load.day"),
        ({"rate": 1.0, "day_seconds": -1.0}, "load.day_seconds"),
        ({"rate": 1.0, "bursts": Bursts(factor=0.0)}, "load.bursts.factor"),
    ],
)
def test_impossible_loads_are_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Load(**fields)  # type: ignore[arg-type]
    assert [violation.field for violation in raised.value.violations] == [named]


def test_no_send_is_no_send() -> None:
    assert len(arrivals(Load(rate=1.0), 0, seed=1)) == 0
