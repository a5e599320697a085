"""The demo's course, from an empty folder to report.json."""

from __future__ import annotations

from pathlib import Path

import torch

from ranklift.cli.collections import Ground, judged_ground, synthetic_ground
from ranklift.cli.composition import registry_of
from ranklift.cli.demo import pretrained
from ranklift.cli.demo import school as scratch
from ranklift.cli.demo.control import (
    ACTOR,
    begin_experiment,
    conclude_experiment,
    wait_until_served,
)
from ranklift.cli.demo.installation import Servers, fresh_home, servers
from ranklift.cli.demo.plan import COLLECTION_TRAFFIC, COLLECTION_TRAINING, FULL_PLAN, QUICK_PLAN
from ranklift.cli.demo.retraining import retrain
from ranklift.cli.demo.school import (
    STUDENT,
    TEACHER,
    School,
    evaluations,
    figures,
    make_bm25,
)
from ranklift.cli.demo.summary import comparison_table, offline_table, write_report
from ranklift.cli.demo.traffic import Outcome, play, rankings_of, world_of
from ranklift.cli.output import complain, out, step
from ranklift.lift.render.as_html import to_html
from ranklift.lift.render.as_table import to_table
from ranklift.rankers.pretrained import minilm_folder
from ranklift.settings import load_settings
from ranklift.simulator.candidates import DEPTH, save_run
from ranklift.simulator.collections import Collection, Split, queries_in, save_beir
from ranklift.simulator.world import Rankings
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import ModelRef


def run_demo(*, quick: bool, seed: int, folder: Path | None, home: Path) -> None:
    """Run the whole loop and leave report.json and two HTML reports under `home`."""
    # One thread: models this small gain nothing from more, several processes share the machine,
    # and the arithmetic does not depend on the number of its cores.
    torch.set_num_threads(1)
    home = fresh_home(home.absolute())
    with registry_of(load_settings(home=home)) as registry:
        plan = QUICK_PLAN if quick else FULL_PLAN
        if folder is None:
            step("making a world: documents, queries, and users who differ")
            ground = synthetic_ground(plan.size, seed)
            school = School(ground, plan.training, plan.traffic, registry, home, seed)
            teaching = (scratch.make_teacher, scratch.make_student)
        else:
            minilm_folder()  # missing? Say so before anything is done.
            step(f"reading {folder}")
            ground = judged_ground(folder, DEPTH)
            school = School(ground, COLLECTION_TRAINING, COLLECTION_TRAFFIC, registry, home, seed)
            teaching = (pretrained.make_teacher, pretrained.make_student)
        step("making the models: BM25, a teacher, a student distilled from it")
        bm25 = make_bm25(school)
        make_teacher, make_student = teaching
        teacher = make_teacher(school, bm25)
        student = make_student(school, teacher)
        offline = figures(evaluations(school, (bm25, teacher, student)))
        out.print(offline_table(offline))
        if offline[str(teacher)]["pair_accuracy"] <= offline[str(bm25)]["pair_accuracy"]:
            complain("the teacher does not beat BM25 here: what it teaches is of no use")
        registry.models.set_champion(bm25, actor=ACTOR, reason="what serves today")
        environment = {
            "OMP_NUM_THREADS": "1",
            "RANKLIFT_RANKER__THREADS": "1",
            # The report is read from another process the moment after the last page.
            "RANKLIFT_EVENTS__DURABILITY": "strict",
            # The registry has none, and all is on loopback.
            "RANKLIFT_SECURITY__TOKENS": "off",
            # Nobody waits for days here.
            "RANKLIFT_RETRAIN__RAMP": "[]",
            "RANKLIFT_RETRAIN__STEPS": str(school.training.retrain_steps),
            "RANKLIFT_RETRAIN__SEED": str(seed),
            "RANKLIFT_RETRAIN__LISTS": str(school.training.lists),
            "RANKLIFT_RETRAIN__LEARNING_RATE": str(school.training.retrain_rate),
            "RANKLIFT_RETRAIN__JUDGMENTS": str(_save_held_out(ground, home / "judgments")),
        }
        rankings: dict[ModelRef, Rankings] = {}
        step("starting two rankers, the gateway and the scheduler")
        versions = {"bm25": str(bm25), "student": str(student)}
        with servers(home, versions, environment) as running:
            step(f"experiment {STUDENT}-1: {student} against {bm25}")
            begin_experiment(
                running.gateway,
                f"{STUDENT}-1",
                control=bm25,
                challenger=student,
                plan=AnalysisPlan(planned_units=school.traffic.users),
            )
            first = _meet(school, running, f"{STUDENT}-1", school.traffic.users, 1, rankings)
            _show(first, home)
            _conclude(first, running)
            step("retraining the student on the clicks of these users")
            run = retrain(running, student=STUDENT, teacher=TEACHER)
            finished = registry.runs.get(run.run_id)
            second = None
            if finished.experiment:
                out.print(comparison_table(finished.model_version, finished.comparisons))
                step(f"experiment {finished.experiment}: began by itself, meets new users")
                wait_until_served(running.gateway, finished.experiment)
                second = _meet(
                    school, running, finished.experiment, school.traffic.later_users, 2, rankings
                )
                _show(second, home)
            else:
                complain(f"no new version serves: the run was {finished.state}, {finished.reason}")
    write_report(
        home / "report.json",
        seed=seed,
        offline=offline,
        first=first,
        retrained_version=finished.model_version,
        comparisons=finished.comparisons,
        second=second,
    )
    step(f"left in {home}: report.json, {first.report.experiment}.html, the log and the models")


def _conclude(outcome: Outcome, running: Servers) -> None:
    """Ship the challenger when the report advises it, else roll back."""
    report = outcome.report
    ship = report.verdict.arm
    conclude_experiment(
        running.gateway, report.experiment, ship=ship, reason=report.verdict.sentence
    )
    became = "shipped, the student is the champion" if ship else "rolled back"
    step(f"{report.experiment}: {became}")


def _meet(
    school: School,
    running: Servers,
    name: str,
    users: int,
    wave: int,
    rankings: dict[ModelRef, Rankings],
) -> Outcome:
    """Have new users meet a running experiment; `rankings` are kept for the next one."""
    world = world_of(
        f"wave{wave}",
        school.ground,
        users=users,
        pages_per_user=school.traffic.pages_per_user,
        seed=school.seed + wave,
    )
    registered = school.registry.experiments.get(name)
    for arm in registered.experiment.arms:
        for ref in arm.models:
            if ref not in rankings:
                rankings[ref] = rankings_of(school.ground, school.registry, ref)
    return play(world, registered, rankings, school.home, running.gateway)


def _show(outcome: Outcome, home: Path) -> None:
    out.print(to_table(outcome.report, true_lift=outcome.truth))
    replayed = outcome.replayed
    out.print(
        f"{replayed.pages} pages, {replayed.clicks} clicks, {replayed.fallback_pages} fallback "
        f"pages, {replayed.failed_calls} failed calls; a page took "
        f"{replayed.latency.p50:.0f} ms (p50), {replayed.latency.p99:.0f} ms (p99)"
    )
    page = home / f"{outcome.report.experiment}.html"
    page.write_text(to_html(outcome.report), encoding="utf-8")


def _save_held_out(ground: Ground, folder: Path) -> Path:
    """Write the held-out queries with their judgments, for the comparison of new versions."""
    collection = ground.collection
    held_out = set(queries_in(collection, Split.HELD_OUT))
    save_beir(
        Collection(
            documents=collection.documents,
            queries={q: text for q, text in collection.queries.items() if q in held_out},
            judgments={q: grades for q, grades in collection.judgments.items() if q in held_out},
        ),
        folder,
    )
    save_run({q: c for q, c in ground.candidates.items() if q in held_out}, folder)
    return folder
