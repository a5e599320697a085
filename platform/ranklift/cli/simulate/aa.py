"""`ranklift simulate aa`: does the lift report find what is not there?"""

from __future__ import annotations

from ranklift.cli.output import bar
from ranklift.cli.simulate.worlds import (
    AlphaOption,
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


def aa(
    collection: CollectionOption = None,
    control: ControlOption = "bm25",
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
    """Run whole A/A experiments: new users each time, split by a salted hash, read by the report.

    Example: `ranklift simulate aa --experiments 200 --output aa.html`
    """
    from ranklift.cli.simulate.calibration_pages import aa_page
    from ranklift.cli.simulate.pages import check_page, show
    from ranklift.cli.simulate.statistics import LiftReadout, SaltedSplit
    from ranklift.cli.simulate.worlds import about, check_alpha, cores, ranked_world, users_for
    from ranklift.simulator.calibration.aa import aa_report
    from ranklift.simulator.calibration.experiment import (
        Experiments,
        check_experiments,
        two_arms,
    )
    from ranklift.simulator.calibration.repeat import repeat

    check_alpha(alpha)
    check_page(output)
    users = users_for(pages, pages_per_user)
    check_experiments(experiments, users)
    ranked = ranked_world(
        collection, control, depth=depth, pages_per_user=pages_per_user, seed=seed, react=react
    )
    world = ranked.world
    played = Experiments(
        two_arms(world, ranked.control, ranked.control),
        users,
        SaltedSplit(world.name, f"aa/{seed}"),
        LiftReadout(alpha),
    )
    with bar("A/A experiments") as progress:
        found = repeat(played, range(experiments), workers=cores(workers), progress=progress.update)
    report = aa_report(found, alpha=alpha)
    show(aa_page(report, about(ranked, users, pages_per_user)), output)
