"""The demo's installation: a home of its own, and every server as a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.processes import Child, children, free_address, wait_until_serving
from ranklift.v1.errors import InvalidRequest

MARKER = ".ranklift-demo"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the demo's servers listen, and their processes by name."""

    gateway: str
    processes: Mapping[str, Child]


def fresh_home(home: Path) -> Path:
    """Return `home`, emptied: a demo begins anew.

    Raises:
        InvalidRequest: the folder holds something else than an earlier demo.
    """
    if home.exists() and any(home.iterdir()) and not (home / MARKER).exists():
        raise InvalidRequest.of(
            "home", f'"{home}" holds something else than a demo; name an empty or a new folder'
        )
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / MARKER).touch()
    return home


@contextmanager
def servers(
    home: Path, versions: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[Servers]:
    """Run a ranker for each of `versions` (name -> "model@version"), a gateway and a scheduler."""
    addresses = {name: free_address() for name in versions}
    gateway = free_address()
    at = ("--home", str(home))
    behind = tuple(part for a in addresses.values() for part in ("--ranker", a))
    with children(home / "logs", environment) as start:
        started = {
            name: start(name, "serve", "ranker", *at, "--load", version, "--address", address)
            for (name, version), address in zip(versions.items(), addresses.values(), strict=True)
        }
        started["gateway"] = start(
            "gateway", "serve", "gateway", *at, "--address", gateway, *behind
        )
        started["scheduler"] = start("scheduler", "serve", "scheduler", *at, *behind)
        for name, address in {**addresses, "gateway": gateway}.items():
            wait_until_serving(started[name], address)
        yield Servers(gateway, started)
