"""`ranklift simulate power`: would experiments with this traffic see the lift?"""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.output import bar
from ranklift.cli.simulate.worlds import (
    AlphaOption,
    CollectionOption,
    ControlOption,
    DepthOption,
    ExperimentsOption,
    PageOption,
    PagesPerUserOption,
    ReactOption,
    SeedOption,
    WorkersOption,
)

TRUTH_PAGES = 200_000  # of a population that lives through both arms, at most


def power(
    collection: CollectionOption = None,
    control: ControlOption = "bm25",
    lift: Annotated[
        str, typer.Option(help="Lifts to plant, 0.01 is 1 %: a,b.")
    ] = "0.0047,0.0058,0.012",
    pages: Annotated[
        str, typer.Option(help="Pages of an experiment, on average, for each size: a,b.")
    ] = "100000,300000,1000000",
    experiments: ExperimentsOption = 100,
    pages_per_user: PagesPerUserOption = 4.0,
    react: ReactOption = False,
    depth: DepthOption = 20,
    alpha: AlphaOption = 0.05,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    output: PageOption = None,
) -> None:
    """Run whole experiments with a planted lift: how often does each metric's test see it?

    The default lifts are those that a search engine's production experiment published.

    Example: `ranklift simulate power --lift 0.012 --pages 200000,400000 --output power.html`
    """
    from ranklift.cli.simulate.calibration_pages import power_page
    from ranklift.cli.simulate.pages import check_page, show
    from ranklift.cli.simulate.statistics import LiftPlan, LiftReadout, SaltedSplit
    from ranklift.cli.simulate.worlds import (
        check_alpha,
        cores,
        numbers,
        ranked_world,
        users_for,
    )
    from ranklift.simulator.calibration.experiment import check_experiments
    from ranklift.simulator.calibration.injection import with_lift
    from ranklift.simulator.calibration.power import power_by_size
    from ranklift.simulator.calibration.truths import true_lifts_of

    check_alpha(alpha)
    check_page(output)
    lifts = numbers("lift", lift)
    sizes = [users_for(n, pages_per_user) for n in numbers("pages", pages)]
    for users in sizes:
        check_experiments(experiments, users)
    ranked = ranked_world(
        collection, control, depth=depth, pages_per_user=pages_per_user, seed=seed, react=react
    )
    world, used = ranked.world, cores(workers)
    scripts = {planted: with_lift(world, ranked.control, planted) for planted in lifts}
    readout = LiftReadout(alpha)
    truths = {}
    for planted, one in scripts.items():
        with bar(f"truth of {planted:g}") as progress:
            truths[planted] = true_lifts_of(
                one,
                readout,
                users=min(max(sizes), users_for(TRUTH_PAGES, pages_per_user)),
                workers=used,
                progress=progress.update,
            )
    with bar("experiments") as progress:
        rows = power_by_size(
            scripts,
            truths,
            sizes,
            SaltedSplit(world.name, f"power/{seed}"),
            readout,
            LiftPlan(alpha),
            experiments=experiments,
            alpha=alpha,
            workers=used,
            progress=progress.update,
        )
    told = f"{experiments:,} experiments of each size, other users in each, {ranked.place}."
    show(power_page(rows, told), output)
