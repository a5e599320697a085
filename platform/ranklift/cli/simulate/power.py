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
    from ranklift.simulator.calibration.experiment import Experiments, check_experiments
    from ranklift.simulator.calibration.injection import with_lift
    from ranklift.simulator.calibration.power import Battery, Size, power_rows, usual_traffic
    from ranklift.simulator.calibration.repeat import repeat
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
    scripts = [with_lift(world, ranked.control, planted) for planted in lifts]
    split, readout = SaltedSplit(world.name, f"power/{seed}"), LiftReadout(alpha)
    battery = Battery(
        tuple(Experiments(one, users, split, readout) for one in scripts for users in sizes)
    )
    truths = []
    for planted, one in zip(lifts, scripts, strict=True):
        with bar(f"truth of {planted:g}") as progress:
            truths.append(
                true_lifts_of(
                    one, readout, users=min(sizes), workers=used, progress=progress.update
                )
            )
    logs = [usual_traffic(scripts[0], users) for users in sizes]
    with bar("experiments") as progress:
        found = repeat(battery, battery.all(experiments), workers=used, progress=progress.update)
    rows = []
    for series, (n, s) in enumerate((n, s) for n in range(len(lifts)) for s in range(len(sizes))):
        own = found[series * experiments : (series + 1) * experiments]
        wanted = {name: truth.lift for name, truth in truths[n].items()}
        planned = LiftPlan(alpha)(logs[s], wanted)
        size = Size(sizes[s], sizes[s] * pages_per_user)
        rows += power_rows(own, size, lifts[n], truths[n], planned, alpha=alpha)
    told = f"{experiments:,} experiments of each size, other users in each, {ranked.place}."
    show(power_page(rows, told), output)
