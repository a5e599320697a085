"""Whatever is done to experiments in whatever order, the registry keeps its promises.

Hypothesis plays people who create, change, start, ramp, pause and conclude experiments of several
layers. A small model of the rules, written without the registry's code, says what must happen.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.platform.store.defined import NEW, experiment, register_models

from ranklift.store.registry import open_registry
from ranklift.store.values import (
    Arm,
    Condition,
    Decision,
    Experiment,
    RegisteredExperiment,
)
from ranklift.v1.errors import Conflict, NotReady, RequestError

WHO = {"actor": "ann", "reason": "because"}
LAYERS = ("a", "b")
COUNTRIES = ("at", "de")
SHADOWING = (Arm("all", 10_000, shadows=(NEW,)),)


@dataclass
class Known:
    """What the model knows of one experiment."""

    layer: str
    layer_share: int
    ranks: bool
    country: str  # "" for all
    traffic: int
    state: str = "draft"
    revision: int = 1
    owner: str = ""
    meaning: Experiment | None = None  # as of its first start
    held: int = 0  # slots


@dataclass
class Layer:
    """What the model knows of one layer."""

    holdout: int = 0
    generation: int = 1


@dataclass
class Model:
    """The rules, once more."""

    experiments: dict[str, Known] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    champion: str = ""

    def occupying(self, layer: str) -> list[Known]:
        return [
            one
            for one in self.experiments.values()
            if one.layer == layer and one.state in ("running", "paused")
        ]

    def clashes(self, name: str, one: Known) -> bool:
        return any(
            other.ranks
            and one.ranks
            and other.state in ("running", "paused")
            and other.layer != one.layer
            and (not other.country or not one.country or other.country == one.country)
            for other_name, other in self.experiments.items()
            if other_name != name
        )

    def has_room(self, one: Known) -> bool:
        held = sum(other.held for other in self.occupying(one.layer) if other is not one)
        return held + one.layer_share <= 10_000


class Lifecycle(RuleBasedStateMachine):
    migrated: Path

    @initialize(country=st.sampled_from(("", *COUNTRIES)))
    def open(self, country: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ranklift-lifecycle-"))
        path = self.folder / "registry.db"
        shutil.copyfile(self.migrated, path)
        self.registry = open_registry(f"sqlite:///{path}")
        register_models(self.registry)
        self.experiments = self.registry.experiments
        self.model = Model()
        self.version = 0
        self.seen: dict[str, int] = {}
        self.etags: dict[str, list[str]] = {}
        self.salts: dict[str, str] = {}
        # Two people plan at the same time: only the start of the second one can tell.
        for layer in LAYERS:
            self.create(layer, 5_000, ranks=True, country=country, traffic=5_000)

    def teardown(self) -> None:
        if hasattr(self, "registry"):
            self.registry.close()
            shutil.rmtree(self.folder)

    # -- what people do --------------------------------------------------------------------

    @rule(
        layer=st.sampled_from(LAYERS),
        layer_share=st.sampled_from([2_500, 5_000, 10_000]),
        ranks=st.booleans(),
        country=st.sampled_from(("", *COUNTRIES)),
        traffic=st.sampled_from([100, 5_000, 10_000]),
    )
    def create(self, layer: str, layer_share: int, ranks: bool, country: str, traffic: int) -> None:
        name = f"e{len(self.model.experiments)}"
        known = Known(layer, layer_share, ranks, country, traffic)
        made = self.attempt(
            lambda: self.experiments.create(self.defined(name, known), actor="ann"),
            NotReady if self.model.clashes(name, known) else None,
        )
        if made:
            self.model.experiments[name] = known
            self.model.layers.setdefault(layer, Layer())
            self.etags[name] = [made.etag]

    @rule(data=st.data(), layer=st.sampled_from(LAYERS), country=st.sampled_from(("", *COUNTRIES)))
    @precondition(lambda self: self.model.experiments)
    def change_meaning(self, data: st.DataObject, layer: str, country: str) -> None:
        name, known = self.some(data)
        changed = Known(**{**vars(known), "layer": layer, "country": country})
        same = (layer, country) == (known.layer, known.country)
        refused = known.state != "draft" or self.model.clashes(name, changed)
        made = self.attempt(
            lambda: self.experiments.update(
                name, self.defined(name, changed), {"layer", "conditions"}, **WHO
            ),
            NotReady if refused and not same else None,
        )
        if made and not same:
            self.model.layers.setdefault(layer, Layer())
            known.layer, known.country = layer, country
            self.changed(name, made)

    @rule(data=st.data(), owner=st.sampled_from(["ann", "bob"]))
    @precondition(lambda self: self.model.experiments)
    def change_owner(self, data: st.DataObject, owner: str) -> None:
        name, known = self.some(data)
        of = experiment(owner=owner)
        made = self.attempt(lambda: self.experiments.update(name, of, {"owner"}, **WHO), None)
        assert made
        assert made.experiment.owner == owner
        if known.owner != owner:
            known.owner = owner
            self.changed(name, made)

    @rule(data=st.data())
    @precondition(lambda self: self.model.experiments)
    def start(self, data: st.DataObject) -> None:
        name, known = self.some(data)
        allowed = known.state in ("draft", "paused") and not self.model.clashes(name, known)
        allowed = allowed and (known.state == "paused" or self.model.has_room(known))
        made = self.attempt(
            lambda: self.experiments.start(name, **WHO), None if allowed else NotReady
        )
        if made:
            known.state, known.held = "running", known.layer_share
            known.meaning = known.meaning or meaning(made)
            self.changed(name, made)

    @rule(data=st.data(), traffic=st.sampled_from([100, 2_500, 5_000, 10_000]))
    @precondition(lambda self: self.model.experiments)
    def ramp(self, data: st.DataObject, traffic: int) -> None:
        name, known = self.some(data)
        allowed = known.state in ("running", "paused") and traffic > known.traffic
        made = self.attempt(
            lambda: self.experiments.ramp(name, traffic, **WHO), None if allowed else NotReady
        )
        if made:
            known.traffic = traffic
            self.changed(name, made)

    @rule(data=st.data())
    @precondition(lambda self: self.model.experiments)
    def pause(self, data: st.DataObject) -> None:
        name, known = self.some(data)
        made = self.attempt(
            lambda: self.experiments.pause(name, **WHO),
            None if known.state == "running" else NotReady,
        )
        if made:
            known.state = "paused"
            self.changed(name, made)

    @rule(data=st.data(), ship=st.booleans())
    @precondition(lambda self: self.model.experiments)
    def conclude(self, data: st.DataObject, ship: bool) -> None:
        name, known = self.some(data)
        ship = ship and known.ranks
        made = self.attempt(
            lambda: self.experiments.conclude(
                name,
                Decision.SHIP if ship else Decision.ROLL_BACK,
                arm="new" if ship else "",
                **WHO,
            ),
            None if known.state in ("running", "paused") else NotReady,
        )
        if made:
            known.state, known.held = "concluded", 0
            if ship:
                self.model.champion = str(NEW)
            if not self.model.occupying(known.layer):
                self.model.layers[known.layer].generation += 1
            self.changed(name, made)

    @rule(layer=st.sampled_from(LAYERS), holdout=st.sampled_from([0, 100, 2_000]))
    def set_holdout(self, layer: str, holdout: int) -> None:
        known = self.model.layers.setdefault(layer, Layer())
        refused = holdout != known.holdout and self.model.occupying(layer)
        try:
            self.experiments.set_layer(layer, holdout, **WHO)
        except NotReady:
            assert refused
        else:
            assert not refused
            known.holdout = holdout

    @rule(data=st.data())
    @precondition(lambda self: any(len(etags) > 1 for etags in self.etags.values()))
    def change_what_was_seen_long_ago(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([n for n, e in self.etags.items() if len(e) > 1]))
        etag = data.draw(st.sampled_from(self.etags[name][:-1]))
        change = data.draw(
            st.sampled_from(
                [
                    lambda: self.experiments.start(name, etag=etag, **WHO),
                    lambda: self.experiments.pause(name, etag=etag, **WHO),
                    lambda: self.experiments.ramp(name, 10_000, etag=etag, **WHO),
                    lambda: self.experiments.conclude(name, Decision.NONE, etag=etag, **WHO),
                    lambda: self.experiments.update(
                        name, experiment(owner="eve"), {"owner"}, etag=etag, **WHO
                    ),
                ]
            )
        )
        self.attempt(change, Conflict)

    # -- what must hold --------------------------------------------------------------------

    @invariant()
    def the_registry_is_what_the_model_says(self) -> None:
        found = {one.experiment.name: one for one in self.experiments.list()[0]}
        assert found.keys() == self.model.experiments.keys()
        for name, known in self.model.experiments.items():
            one = found[name]
            assert (one.state, one.revision) == (known.state, known.revision)
            assert one.experiment.traffic_share == known.traffic
            assert one.revisions[-1].traffic_share == known.traffic
            assert [revision.number for revision in one.revisions] == [*range(1, one.revision + 1)]
            assert sum(end - start for start, end in one.slots) == known.held
            assert known.meaning in (None, meaning(one))
        champion = self.registry.models.champion()
        assert str(champion.ref if champion else "") == self.model.champion

    @invariant()
    def no_slot_is_held_twice(self) -> None:
        for layer in LAYERS:
            ranges = sorted(
                one for found in self.experiments.list(layer=layer)[0] for one in found.slots
            )
            assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))

    @invariant()
    def layers_change_their_salt_only_when_nobody_is_in_them(self) -> None:
        for layer in self.experiments.layers():
            known = self.model.layers[layer.name]
            assert layer.salt == f"{layer.name}/slots/{known.generation}"
            assert layer.holdout_share == known.holdout
            before = self.salts.get(layer.name, layer.salt)
            assert layer.salt == before or not self.model.occupying(layer.name)
            self.salts[layer.name] = layer.salt

    @invariant()
    def versions_and_revisions_only_grow(self) -> None:
        version = self.experiments.version()
        assert version >= self.version
        seen = {one.experiment.name: one.revision for one in self.experiments.list()[0]}
        assert all(seen[name] >= revision for name, revision in self.seen.items())
        assert seen == self.seen or version > self.version
        self.version, self.seen = version, seen

    # -- help ------------------------------------------------------------------------------

    def some(self, data: st.DataObject) -> tuple[str, Known]:
        name = data.draw(st.sampled_from(sorted(self.model.experiments)))
        return name, self.model.experiments[name]

    def defined(self, name: str, known: Known) -> Experiment:
        conditions = (Condition("country", (known.country,)),) if known.country else ()
        of = {} if known.ranks else {"arms": SHADOWING, "control": "all"}
        return experiment(
            name,
            known.layer,
            layer_share=known.layer_share,
            traffic_share=known.traffic,
            conditions=conditions,
            **of,
        )

    def changed(self, name: str, made: RegisteredExperiment) -> None:
        self.model.experiments[name].revision += 1
        self.etags[name].append(made.etag)

    def attempt(
        self, change: Callable[[], RegisteredExperiment], error: type[RequestError] | None
    ) -> RegisteredExperiment | None:
        if error is None:
            return change()
        with pytest.raises(error):
            change()
        return None


def meaning(one: RegisteredExperiment) -> Experiment:
    """Return what must not change once it ran: all but these, and the share that ramps raise."""
    return experiment(
        **{
            **{f: getattr(one.experiment, f) for f in one.experiment.__slots__},
            "owner": "",
            "hypothesis": "",
            "planned_end": None,
            "forced": (),
            "traffic_share": 10_000,
        }
    )


def test_the_registry_keeps_its_promises(migrated_sqlite: Path) -> None:
    Lifecycle.migrated = migrated_sqlite
    run_state_machine_as_test(
        Lifecycle,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
