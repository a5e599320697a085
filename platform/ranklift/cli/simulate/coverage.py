"""`ranklift simulate coverage`: do the lift report's intervals hold the truth?"""

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
    ReactOption,
    SeedOption,
    WorkersOption,
)


def coverage(
    collection: CollectionOption = None,
    control: ControlOption = "bm25",
    arm: ArmOption = "",
    lift: Annotated[
        float | None,
        typer.Option(
            help="A lift to plant in an arm that shows what control does, in its place; "
            "0.01 is 1 %."
        ),
    ] = None,
    experiments: ExperimentsOption = 1_000,
    pages: PagesOption = 100_000,
    pages_per_user: PagesPerUserOption = 4.0,
    react: ReactOption = False,
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
    from ranklift.v1.errors import InvalidRequest

    if lift is not None and arm:
        raise InvalidRequest.of("arm", "stands beside lift, which makes an arm; give one of them")
    check_alpha(alpha)
    check_page(output)
    users = users_for(pages, pages_per_user)
    check_experiments(experiments, users)
    ranked = ranked_world(
        collection,
        control,
        arm,
        depth=depth,
        pages_per_user=pages_per_user,
        seed=seed,
        react=react,
    )
    world = ranked.world
    if lift is None:
        script = two_arms(world, ranked.control, ranked.arm)
    else:
        script = with_lift(world, ranked.control, lift)
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
    planted = (
        "" if lift is None else f"Planted: {100 * lift:+.3g} % in PageCTR and dwell per click."
    )
    told = f"{about(ranked, users, pages_per_user)} {planted or ranked.told}"
    show(coverage_page(report, told), output)
