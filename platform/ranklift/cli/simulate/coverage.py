"""`ranklift simulate coverage`: do the lift report's intervals hold the truth?"""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.output import bar
from ranklift.cli.simulate.worlds import (
    AlphaOption,
    CollectionOption,
    DepthOption,
    ExperimentsOption,
    PageOption,
    PagesOption,
    PagesPerUserOption,
    SeedOption,
    WorkersOption,
)


def coverage(
    collection: CollectionOption = None,
    lift: Annotated[
        float | None,
        typer.Option(
            help="A lift to plant, 0.01 is 1 %; by default the arm ranks every third query ideally."
        ),
    ] = None,
    experiments: ExperimentsOption = 1_000,
    pages: PagesOption = 100_000,
    pages_per_user: PagesPerUserOption = 4.0,
    depth: DepthOption = 20,
    alpha: AlphaOption = 0.05,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    output: PageOption = None,
) -> None:
    """Run whole experiments whose true lifts are known, and see how often the intervals hold them.

    Example: `ranklift simulate coverage --experiments 200 --lift 0.01`
    """
    from ranklift.cli.simulate.calibration_pages import coverage_page
    from ranklift.cli.simulate.pages import check_page, show
    from ranklift.cli.simulate.statistics import LiftReadout, SaltedSplit
    from ranklift.cli.simulate.worlds import (
        IDEAL_QUERIES,
        about,
        check_alpha,
        cores,
        ranked_world,
        users_for,
    )
    from ranklift.simulator.calibration.coverage import coverage_report
    from ranklift.simulator.calibration.experiment import (
        Experiments,
        check_experiments,
        two_arms,
    )
    from ranklift.simulator.calibration.injection import with_lift
    from ranklift.simulator.calibration.repeat import repeat
    from ranklift.simulator.calibration.truths import true_lifts_of

    check_alpha(alpha)
    check_page(output)
    users = users_for(pages, pages_per_user)
    check_experiments(experiments, users)
    ranked = ranked_world(collection, depth=depth, pages_per_user=pages_per_user, seed=seed)
    world = ranked.world
    if lift is None:
        script = two_arms(world, ranked.control, ranked.better)
        arm = f"The arm ranks every {IDEAL_QUERIES}rd query ideally, the others as control does."
    else:
        script = with_lift(world, ranked.control, lift)
        arm = f"Planted: {100 * lift:+.3g} % in PageCTR and dwell per click."
    played = Experiments(
        script, users, SaltedSplit(world.name, f"coverage/{seed}"), LiftReadout(alpha)
    )
    with bar("truth") as progress:
        truths = true_lifts_of(
            script,
            played.readout,
            users=users,
            workers=cores(workers),
            progress=progress.update,
        )
    with bar("experiments") as progress:
        found = repeat(played, range(experiments), workers=cores(workers), progress=progress.update)
    report = coverage_report(found, truths, level=1 - alpha)
    told = f"{about(collection, users, pages_per_user, seed)} {arm}"
    show(coverage_page(report, told), output)
