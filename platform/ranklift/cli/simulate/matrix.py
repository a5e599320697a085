"""`ranklift simulate matrix`: does the decision hold whichever click model is true?"""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.output import bar
from ranklift.cli.simulate.worlds import (
    AlphaOption,
    ArmOption,
    CollectionOption,
    ControlOption,
    DepthOption,
    ExperimentsOption,
    PageOption,
    PagesOption,
    PagesPerUserOption,
    SeedOption,
    WorkersOption,
)


def matrix(
    collection: CollectionOption = None,
    control: ControlOption = "bm25",
    arm: ArmOption = "",
    models: Annotated[
        str, typer.Option(help="The click models to fit and to generate from: a,b.")
    ] = "",
    experiments: ExperimentsOption = 20,
    pages: PagesOption = 100_000,
    pages_per_user: PagesPerUserOption = 4.0,
    depth: DepthOption = 20,
    alpha: AlphaOption = 0.05,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    output: PageOption = None,
) -> None:
    """Fit click models to a log, make each a world, and run the same experiment in all of them.

    Example: `ranklift simulate matrix --arm student.trec`
    """
    from ranklift.cli.simulate.calibration_pages import matrix_page
    from ranklift.cli.simulate.click_models import fits_of
    from ranklift.cli.simulate.pages import check_page, show
    from ranklift.cli.simulate.statistics import LiftReadout, SaltedSplit
    from ranklift.cli.simulate.worlds import about, check_alpha, cores, ranked_world, users_for
    from ranklift.simulator.calibration.experiment import (
        Experiments,
        check_experiments,
        two_arms,
    )
    from ranklift.simulator.calibration.matrix import (
        Matrix,
        forecasts,
        outcome_of,
        true_lift,
        worlds_of,
    )
    from ranklift.simulator.calibration.power import Battery
    from ranklift.simulator.calibration.repeat import repeat

    check_alpha(alpha)
    check_page(output)
    fits = fits_of(models)
    users = users_for(pages, pages_per_user)
    check_experiments(experiments, users)
    ranked = ranked_world(
        collection, control, arm, depth=depth, pages_per_user=pages_per_user, seed=seed
    )
    with bar("fits and forecasts") as progress:
        worlds = worlds_of(ranked.world, ranked.control, users, fits)
        forecast = {}
        for done, (name, world) in enumerate(worlds.items(), start=1):
            forecast[name] = forecasts(world, ranked.control, ranked.arm, users, fits)
            progress.update(done, len(worlds))
    split, readout = SaltedSplit(ranked.world.name, f"matrix/{seed}"), LiftReadout(alpha)
    battery = Battery(
        tuple(
            Experiments(two_arms(world, ranked.control, ranked.arm), users, split, readout)
            for world in worlds.values()
        )
    )
    with bar("experiments") as progress:
        found = repeat(
            battery, battery.all(experiments), workers=cores(workers), progress=progress.update
        )
    outcomes = tuple(
        outcome_of(
            name,
            true_lift(world, ranked.control, ranked.arm),
            found[n * experiments : (n + 1) * experiments],
            forecast[name],
        )
        for n, (name, world) in enumerate(worlds.items())
    )
    told = f"{about(ranked, users, pages_per_user)} {ranked.told}"
    show(matrix_page(Matrix(experiments, outcomes), told), output)
