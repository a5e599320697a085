"""The assignment as docs/assignment.md publishes it, and the laws that follow from it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.store.values import BUCKETS, Arm, Experiment, Layer, ModelRef
from ranklift.traffic.splitter import Place, Splitter, assign, bucket_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "assignment.md"
MODEL = ModelRef("student", "1")
MASK = (1 << 64) - 1
# The laws hold on a busy machine too.
UNHURRIED = settings(deadline=None)


def experiment(
    *shares: int, traffic_share: int = BUCKETS, salt: str = "default/title-boost"
) -> Experiment:
    arms = tuple(Arm(f"arm-{i}", share, MODEL) for i, share in enumerate(shares))
    return Experiment("title-boost", arms, "arm-0", salt, traffic_share=traffic_share)


def murmur3_x64_128(key: bytes) -> tuple[int, int]:
    """MurmurHash3 x64 128 with seed 0, written out from the reference algorithm."""

    def rotated(value: int, bits: int) -> int:
        return ((value << bits) | (value >> (64 - bits))) & MASK

    def mixed(value: int) -> int:
        value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCD & MASK
        value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53 & MASK
        return value ^ (value >> 33)

    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = 0
    whole = len(key) // 16 * 16
    for i in range(0, whole, 16):
        k1 = int.from_bytes(key[i : i + 8], "little")
        k2 = int.from_bytes(key[i + 8 : i + 16], "little")
        h1 ^= rotated(k1 * c1 & MASK, 31) * c2 & MASK
        h1 = ((rotated(h1, 27) + h2) * 5 + 0x52DCE729) & MASK
        h2 ^= rotated(k2 * c2 & MASK, 33) * c1 & MASK
        h2 = ((rotated(h2, 31) + h1) * 5 + 0x38495AB5) & MASK
    tail = key[whole:]
    h2 ^= rotated(int.from_bytes(tail[8:], "little") * c2 & MASK, 33) * c1 & MASK
    h1 ^= rotated(int.from_bytes(tail[:8], "little") * c1 & MASK, 31) * c2 & MASK
    h1, h2 = h1 ^ len(key), h2 ^ len(key)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    h1, h2 = mixed(h1), mixed(h2)
    h1 = (h1 + h2) & MASK
    return h1, (h2 + h1) & MASK


def published(columns: int) -> list[list[str]]:
    """The rows of the table of test vectors that has so many columns."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| `", line)
    ]
    return [row for row in rows if len(row) == columns and row[2].isalnum()]


HASHES = [row for row in published(5) if len(row[3]) == 16]
ARMS = [row for row in published(5) if len(row[3]) != 16]
SLOTS = published(6)


# The hashes of these keys are test cases of other implementations (spaolacci/murmur3, Guava).
@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"hello", (0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19)),
        (b"hello, world", (0x342FAC623A5EBC8E, 0x4CDCBC079642414D)),
        (b"19 Jan 2038 at 3:14:07 AM", (0xB89E5988B737AFFC, 0x664FC2950231B2CB)),
        (
            b"The quick brown fox jumps over the lazy dog.",
            (0xCD99481F9EE902C9, 0x695DA1A38987B6E7),
        ),
    ],
)
def test_the_hash_of_this_test_is_murmur3(key: bytes, words: tuple[int, int]) -> None:
    assert murmur3_x64_128(key) == words


@UNHURRIED
@given(salt=st.text(max_size=40), unit=st.text(max_size=80))
def test_the_bucket_is_the_top_of_the_first_word_of_the_hash(salt: str, unit: str) -> None:
    first, _ = murmur3_x64_128(f"{salt}:{unit}".encode())
    assert bucket_of(salt, unit) == first * BUCKETS // 2**64


def test_the_document_publishes_vectors() -> None:
    assert len(HASHES) == len(ARMS) == 10
    assert len(SLOTS) == 6


@pytest.mark.parametrize(("salt", "unit", "key", "word", "bucket"), HASHES)
def test_published_hashes(salt: str, unit: str, key: str, word: str, bucket: str) -> None:
    assert f"{salt}:{unit}".encode().hex() == key
    assert f"{murmur3_x64_128(bytes.fromhex(key))[0]:016x}" == word
    assert bucket_of(salt, unit) == int(bucket)


@pytest.mark.parametrize(("unit", "held", "slot", "met", "next_slot", "next_met"), SLOTS)
def test_published_slots(
    unit: str, held: str, slot: str, met: str, next_slot: str, next_met: str
) -> None:
    assert bucket_of("default/holdout", unit) == int(held)
    for salt, expected, experiment in (
        ("default/slots/1", slot, met),
        ("default/slots/2", next_slot, next_met),
    ):
        layer = Layer("default", salt, holdout_share=1_000)
        assert bucket_of(salt, unit) == int(expected)
        places = {
            "one": Place(layer, ((0, 5_000),)),
            "two": Place(layer, ((5_000, BUCKETS),)),
        }
        having = [name for name, place in places.items() if place.has(unit)]
        assert having == ([] if experiment == "-" else [experiment])


@pytest.mark.parametrize(("salt", "unit", "bucket", "whole", "tenth"), ARMS)
def test_published_arms(salt: str, unit: str, bucket: str, whole: str, tenth: str) -> None:
    arms = (Arm("control", 5_000, MODEL), Arm("treatment", 5_000, MODEL))
    for traffic_share, arm in ((BUCKETS, whole), (BUCKETS // 10, tenth)):
        assigned = assign(Experiment("x", arms, "control", salt, traffic_share=traffic_share), unit)
        assert (assigned.arm.name if assigned else "-") == arm
        assert assigned is None or assigned.bucket == int(bucket)


shares = st.lists(st.integers(1, 2_000), min_size=1, max_size=4).map(
    lambda some: (*some, BUCKETS - sum(some))
)


def owned(of: Experiment) -> Counter[str]:
    """How many buckets each arm owns."""
    splitter = Splitter.of(of)
    return Counter(
        arm.name
        for arm, start, end in zip(splitter.arms, splitter.starts, splitter.ends, strict=True)
        for _ in range(start, end)
    )


@UNHURRIED
@given(shares=shares)
def test_arms_own_buckets_in_their_shares(shares: tuple[int, ...]) -> None:
    assert owned(experiment(*shares)) == {f"arm-{i}": share for i, share in enumerate(shares)}


@UNHURRIED
@given(shares=shares, traffic_share=st.integers(1, BUCKETS))
def test_a_traffic_share_scales_the_shares_to_whole_buckets(
    shares: tuple[int, ...], traffic_share: int
) -> None:
    buckets = owned(experiment(*shares, traffic_share=traffic_share))
    for i, share in enumerate(shares):
        assert 0 <= buckets[f"arm-{i}"] - share * traffic_share / BUCKETS < 1


@UNHURRIED
@given(
    shares=shares,
    traffic=st.tuples(st.integers(1, BUCKETS), st.integers(1, BUCKETS)).map(sorted),
    unit=st.text(max_size=20),
)
def test_growing_the_traffic_moves_no_unit(
    shares: tuple[int, ...], traffic: list[int], unit: str
) -> None:
    before, after = (assign(experiment(*shares, traffic_share=share), unit) for share in traffic)
    assert before is None or before == after


@UNHURRIED
@given(unit=st.text(max_size=20))
def test_assignment_depends_on_salt_and_shares_alone(unit: str) -> None:
    one = experiment(5_000, 5_000)
    renamed = Experiment("other", one.arms, "arm-1", one.salt, layer="other")
    assert assign(one, unit) == assign(renamed, unit) == Splitter.of(one).assign(unit)


UNITS = 200_000


@pytest.mark.parametrize("salt", ["default/title-boost", "default/a", "s"])
def test_units_are_spread_evenly(salt: str) -> None:
    counts = Counter(bucket_of(salt, f"user-{i}") for i in range(UNITS))
    assert stats.chisquare([counts[bucket] for bucket in range(BUCKETS)]).pvalue > 0.001


def test_two_salts_are_independent() -> None:
    """Arms in one layer say nothing about arms in another, even where the salts differ little."""
    one = Splitter.of(experiment(2_500, 2_500, 5_000, salt="default/a"))
    two = Splitter.of(experiment(3_000, 7_000, salt="default/b"))
    table = Counter(
        (first.arm.name, second.arm.name)
        for first, second in (
            (one.assign(f"user-{i}"), two.assign(f"user-{i}")) for i in range(UNITS)
        )
        if first is not None and second is not None
    )
    assert table.total() == UNITS
    crossed = [[table[(a.name, b.name)] for b in two.arms] for a in one.arms]
    assert stats.chi2_contingency(crossed).pvalue > 0.001


@settings(max_examples=20, deadline=None)
@given(share=st.integers(100, 9_900))
def test_units_arrive_in_the_shares(share: int) -> None:
    splitter = Splitter.of(experiment(share, BUCKETS - share))
    arms = Counter(a.arm.name for i in range(5_000) if (a := splitter.assign(f"u{i}")) is not None)
    p = stats.binomtest(arms["arm-0"], 5_000, share / BUCKETS).pvalue
    assert p > 1e-6
