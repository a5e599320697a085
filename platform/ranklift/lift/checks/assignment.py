"""Did every unit meet the one arm that it was assigned to?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from ranklift.lift.values import Check

RECOMPUTED_UNITS = 10_000


def usable_units(units: pl.DataFrame, arms: Sequence[str]) -> pl.DataFrame:
    """Return the rows of units that were seen in one arm only, and in one of `arms`."""
    return units.filter(_in_one_arm(units), pl.col("arm").is_in(arms))


def known_arms(units: pl.DataFrame, arms: Sequence[str]) -> Check:
    """Return the check that every unit's arm is one of the experiment's; other rows are dropped."""
    strange = units.filter(~pl.col("arm").is_in(arms))
    if strange.is_empty():
        return Check("known_arms", True, None, "Every arm in the log is one of the experiment's.")
    named = ", ".join(f'"{arm}"' for arm in strange["arm"].unique().sort())
    return Check(
        "known_arms",
        False,
        None,
        f"{strange.height:,} units were logged in {named}, which the experiment does not have; "
        "they count in no metric.",
    )


def one_arm_per_unit(units: pl.DataFrame) -> Check:
    """Return the check that no unit was seen in two arms; those that were are dropped."""
    alone = int(_in_one_arm(units).sum())
    if alone == units.height:
        return Check("one_arm_per_unit", True, None, f"None of {alone:,} units saw two arms.")
    total = units["unit_id"].n_unique()
    crossed = total - alone
    return Check(
        "one_arm_per_unit",
        False,
        None,
        f"{crossed:,} of {total:,} units ({crossed / total:.2%}) saw more than one arm; "
        "they count in no metric.",
    )


def recomputed_arms(
    usable: pl.DataFrame, recompute: Callable[[Sequence[str]], Sequence[str | None]]
) -> Check:
    """Return the check that the splitter, asked again, sends units to the arm they were logged in.

    Assignment is a pure function, so one unit that differs is a fault, such as a salt or a share
    changed in flight, or a log of another experiment. At most `RECOMPUTED_UNITS` units are asked
    for, the same ones whenever and in whatever order they come.
    """
    name = "recomputed_arms"
    sample = usable.select("unit_id", "arm", key=pl.col("unit_id").hash(seed=0))
    # The id breaks ties between keys, so that the order of the rows does not matter.
    sample = sample.bottom_k(RECOMPUTED_UNITS, by=["key", "unit_id"]).sort("key", "unit_id")
    if sample.is_empty():
        return Check(name, True, None, "No units yet.")
    expected = pl.Series("expected", recompute(sample["unit_id"].to_list()), dtype=pl.String)
    wrong = sample.with_columns(expected).filter(pl.col("arm").ne_missing(pl.col("expected")))
    if wrong.is_empty():
        return Check(name, True, None, f"All of {sample.height:,} units are in their arm.")
    unit = wrong.row(0, named=True)
    belongs = "takes no part" if unit["expected"] is None else f'belongs in "{unit["expected"]}"'
    return Check(
        name,
        False,
        None,
        f"{wrong.height:,} of {sample.height:,} units are not where the splitter sends them: "
        f'unit "{unit["unit_id"]}" was logged in "{unit["arm"]}" but {belongs}.',
    )


def _in_one_arm(units: pl.DataFrame) -> pl.Series:
    """Return which rows are the only one of their unit."""
    # Distinct hashes prove distinct units, and are a tenth of the work.
    if units["unit_id"].hash().n_unique() == units.height:
        return pl.repeat(True, units.height, dtype=pl.Boolean, eager=True)
    return units["unit_id"].is_unique()
