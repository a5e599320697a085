"""A world as a folder: a judged collection with candidates, and beside it how users behave.

world.json                            name, seed, population, behaviour, sessions
corpus.jsonl queries.jsonl qrels/     the collection, as `collections.load_beir` reads it
candidates.trec                       what is ranked for each query
appeals.parquet                       attractiveness and satisfaction of pairs that are known
popularity.parquet                    how often each query is asked, where that is known
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ranklift.clicks.cascade import Cascade
from ranklift.clicks.ccm import Ccm
from ranklift.clicks.dbn import Dbn
from ranklift.clicks.dcm import Dcm
from ranklift.clicks.mixture import Mixture
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.sdbn import Sdbn
from ranklift.clicks.trust_bias import TrustBias
from ranklift.clicks.ubm import Ubm
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.bots import Bots
from ranklift.simulator.candidates import load_run, save_run
from ranklift.simulator.censoring import Censoring
from ranklift.simulator.collections import load_beir, save_beir
from ranklift.simulator.devices import Devices, Segment
from ranklift.simulator.drift import Drift
from ranklift.simulator.dwell import DwellShifts, Gamma, LogNormal, Weibull
from ranklift.simulator.season import Season
from ranklift.simulator.users import Population
from ranklift.simulator.values_file import decode, encode
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Appeal, Rankings, World
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

VALUES, APPEALS, POPULARITY = "world.json", "appeals.parquet", "popularity.parquet"
SHOWN = "shown.trec"
FORMAT = 1
KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        Behaviour,
        Bots,
        Cascade,
        Ccm,
        Censoring,
        Dbn,
        Dcm,
        Devices,
        Drift,
        DwellShifts,
        Gamma,
        LogNormal,
        Mixture,
        Pbm,
        Population,
        Sdbn,
        Season,
        Segment,
        Sessions,
        TrustBias,
        Ubm,
        Weibull,
    )
}
_APPEALS = {
    "query": pl.String(),
    "document": pl.String(),
    "attractiveness": pl.Float64(),
    "satisfaction": pl.Float64(),
}
_POPULARITY = {"query": pl.String(), "weight": pl.Float64()}


def is_world(folder: Path) -> bool:
    """Return whether there is a world in a folder."""
    return (folder / VALUES).is_file()


def refuse_taken(folder: Path) -> None:
    """Raise AlreadyExists when there is something at `folder`."""
    if folder.exists():
        raise AlreadyExists.of("out", f"there is something at {folder} already; name another place")


def save_world(world: World, folder: Path, *, shown: Rankings | None = None) -> None:
    """Write a world to a folder that must not be there yet: whole, or not at all.

    Raises:
        AlreadyExists: there is something at `folder`.
    """
    refuse_taken(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_beir(world.collection, made)
        save_run(world.candidates, made)
        if shown is not None:
            save_run(shown, made, SHOWN)
        rows = [
            (query_id, document_id, appeal.attractiveness, appeal.satisfaction)
            for query_id, appeals in world.appeals.items()
            for document_id, appeal in appeals.items()
        ]
        pl.DataFrame(rows, schema=_APPEALS, orient="row").write_parquet(made / APPEALS)
        if world.popularity is not None:
            asked = list(world.popularity.items())
            frame = pl.DataFrame(asked, schema=_POPULARITY, orient="row")
            frame.write_parquet(made / POPULARITY)
        values = {
            "format": FORMAT,
            "name": world.name,
            "seed": world.seed,
            "population": encode(world.population),
            "behaviour": encode(world.behaviour),
            "sessions": encode(world.sessions),
        }
        (made / VALUES).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        made.chmod(0o755)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def load_world(folder: Path) -> World:
    """Return the world in a folder.

    Raises:
        NotFound: the folder or one of its files is missing.
        InvalidRequest: a file is damaged or says what cannot be; the message names it.
    """
    path = folder / VALUES
    if not path.is_file():
        raise NotFound.of("world", f"there is no {VALUES} in {folder}; is it a world?")
    values = _values(path)
    collection = load_beir(folder)
    candidates = load_run(collection, folder)
    if candidates is None:
        raise NotFound.of("world", f"there is no run of candidates in {folder}")
    appeals: dict[str, dict[str, Appeal]] = {}
    for query, document, attractiveness, satisfaction in _table(folder / APPEALS, _APPEALS).rows():
        appeals.setdefault(query, {})[document] = Appeal(attractiveness, satisfaction)
    popularity = None
    if (folder / POPULARITY).is_file():
        popularity = dict(_table(folder / POPULARITY, _POPULARITY).rows())
    sessions = values["sessions"]
    return World(
        values["name"],
        values["seed"],
        collection,
        candidates,
        _of_kind(path, values, "population", Population),
        _of_kind(path, values, "behaviour", Behaviour),
        appeals,
        None if sessions is None else _of_kind(path, values, "sessions", Sessions),
        popularity,
    )


def load_shown(world: World, folder: Path) -> Rankings:
    """Return what the log behind a world mostly showed, else the candidates in their order.

    Raises:
        InvalidRequest: the file is damaged.
    """
    shown = load_run(world.collection, folder, SHOWN) or {}
    return {query_id: shown.get(query_id, ids) for query_id, ids in world.candidates.items()}


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRequest.of(str(path), f"is no JSON: {error}") from error
    wanted = {"format": int, "name": str, "seed": int, "population": dict, "behaviour": dict}
    for name, kind in {**wanted, "sessions": dict | None}.items():
        if not isinstance(values, dict) or not isinstance(values.get(name), kind):
            raise InvalidRequest.of(f"{path}: {name}", "is missing, or not what it must be")
    if values["format"] != FORMAT:
        raise InvalidRequest.of(f"{path}: format", f"{values['format']}, this is {FORMAT}")
    return dict(values)


def _of_kind(path: Path, values: Mapping[str, Any], name: str, kind: type) -> Any:
    value = decode(f"{path}: {name}", values[name], KINDS)
    if not isinstance(value, kind):
        raise InvalidRequest.of(f"{path}: {name}.kind", f"must be {kind.__name__}")
    return value


def _table(path: Path, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise NotFound.of("world", f"{path} is missing") from error
    except pl.exceptions.PolarsError as error:
        raise InvalidRequest.of(str(path), f"cannot be read: {error}") from error
    if dict(frame.schema) != dict(schema) or sum(frame.null_count().row(0)):
        raise InvalidRequest.of(str(path), f"must have the columns {dict(schema)}, without nulls")
    return frame
