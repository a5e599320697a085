"""Unit sums in a file: Arrow IPC, written all or nothing, and refused rather than misread."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from ranklift.lift.unit_arrays import FIRST_PAGE
from ranklift.lift.unit_layout import Layout

# Rows are hashed as this version of polars does it. Arrow has no checksum of its own.
FORMAT = f"ranklift.tally/1 polars/{pl.__version__}"
# A column whose only value describes the file: an enum's values are part of the schema, which
# other tools can read too, and a row of it takes one byte.
ABOUT = "about"


class UnreadableTally(Exception):
    """A file that is no tally, of another version, or damaged; the log has all that it had."""


def write_units(path: Path, units: pl.DataFrame, layout: Layout) -> None:
    """Write unit sums so that a reader sees the old file or the new one, whatever happens."""
    about = json.dumps(
        {
            "format": FORMAT,
            "measures": layout.measures,
            "constants": layout.constants,
            "segments": layout.segments,
            "rows": units.height,
            "digest": _digest(units),
        }
    )
    described = units.with_columns(pl.lit(about, dtype=pl.Enum([about])).alias(ABOUT))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            described.write_ipc(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_units(path: Path) -> tuple[pl.DataFrame, Layout]:
    """Return unit sums and their layout.

    Raises:
        UnreadableTally: the file is damaged or of another version.
        FileNotFoundError: there is none.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        units = pl.read_ipc(path)
        about = json.loads(units.schema[ABOUT].categories[0])  # type: ignore[attr-defined]
        version = about["format"]
    except (Exception, pl.exceptions.PanicException) as error:
        raise _unreadable(path, "is damaged or no tally") from error
    if version != FORMAT:
        raise _unreadable(path, f"has the format {version}, this version reads {FORMAT}")
    units = units.drop(ABOUT)
    schema = dict(units.schema)
    if FIRST_PAGE in schema:
        schema["page_time"] = schema[FIRST_PAGE]
    layout = Layout(schema, *(tuple(about[kind]) for kind in ("measures", "constants", "segments")))
    if units.height != about["rows"] or _digest(units) != about["digest"]:
        raise _unreadable(path, "is damaged: its sums are not those that were written")
    return units, layout


def _digest(units: pl.DataFrame) -> int:
    """Return a number that changes with any value."""
    # Categoricals are hashed as numbers that another process gives to other values.
    hashes = units.with_columns(pl.col(pl.Categorical).cast(pl.String)).hash_rows(seed=1)
    return int(np.add.reduce(hashes.to_numpy(), dtype=np.uint64))


def _unreadable(path: Path, why: str) -> UnreadableTally:
    return UnreadableTally(f"{path} {why}; delete it, and it is built anew from the log")
