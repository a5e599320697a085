"""Unit sums of polars page rows, quicker and in less memory than a group-by."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ranklift.lift.unit_arrays import UnitArrays
from ranklift.lift.unit_layout import Layout

# Half as many touch each unit's sums more often, and take a tenth longer; twice as many are no
# quicker and take 130 MiB more.
BATCH_ROWS = 1 << 19
# polars reads ahead by a number of its own chunks, by default for some 200 MiB.
ENGINE_ROWS = 20_000


def dense_unit_sums(
    rows: pl.LazyFrame,
    *,
    measures: Sequence[str],
    constants: Sequence[str] = (),
    segments: Sequence[str] = (),
) -> pl.DataFrame:
    """Return one row per unit and arm, sorted by arm and unit.

    `rows` have one row a page: `unit_id` (text or integer), `arm`, optionally `page_time`, whole
    numbers `measures`, and columns that belong to the unit (`unit_layout.Layout`). They are read
    once, in batches; memory grows with the units, not with the pages.

    Raises:
        InvalidRequest: a column is missing or of another type, a unit, arm or time is null, an
            amount is no finite whole number, or a constant differs within a unit.
    """
    layout = Layout(rows.collect_schema(), tuple(measures), tuple(constants), tuple(segments))
    arrays = UnitArrays(layout)
    query = rows.select(layout.columns)
    with pl.Config(streaming_chunk_size=ENGINE_ROWS):
        # The order of pages changes nothing, and not keeping it saves polars a buffer.
        for batch in query.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
            arrays.add(batch)
    return arrays.finish()
