"""The command on the synthetic world: from its flags to the report."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from ranklift.cli.reproduce.page import page_of, values_of
from ranklift.cli.reproduce.report import write_report
from ranklift.cli.reproduce.run import TABLES, run
from ranklift.cli.reproduce.run_folder import RunFolder, check_out
from ranklift.cli.reproduce.scale import SCALES, Scale
from ranklift.cli.reproduce.systems import depth_name
from ranklift.cli.reproduce.training import Training
from ranklift.cli.reproduce.workshop import Workshop
from ranklift.v1.errors import InvalidRequest


def reproduce_synthetic(tables: str, seeds: int, size: str, jobs: int, out: Path) -> None:
    """Run what is not run yet, and report everything.

    Raises:
        InvalidRequest: there is no such table or size, or the folder cannot be written.
    """
    wanted = [each.strip() for each in tables.split(",")]
    unknown = [each for each in wanted if each not in TABLES]
    if unknown:
        raise InvalidRequest.of("tables", f'"{unknown[0]}" must be of {",".join(TABLES)}')
    if size not in SCALES:
        raise InvalidRequest.of("size", f'"{size}" must be one of {", ".join(SCALES)}')
    check_out(out)
    scale = SCALES[size]
    made_by = {
        "scale": scale.unsaid(),
        "ranklift": version("ranklift"),
        "torch": torch.__version__,
    }
    # Models this small gain nothing from a second thread.
    torch.set_num_threads(1)
    findings = run(Workshop(Training(RunFolder(out, made_by), scale)), range(seeds), wanted, jobs)
    command = f"ranklift reproduce --tables {','.join(wanted)} --seeds {seeds} --size {size}"
    page = page_of(findings, about(scale, seeds))
    write_report(page, values_of(findings), out, command)


def about(scale: Scale, seeds: int) -> str:
    """Return what was run, in numbers."""
    world = scale.world
    topics = world.concepts * world.attributes_per_concept
    return (
        f"{seeds} of the synthetic worlds: {world.concepts} concepts of {world.synonyms} words, "
        f"{topics * world.documents_per_topic:,} documents, {topics * world.queries_per_topic:,} "
        "queries (40 % judged, 40 % unlabelled, 20 % held out), 16 candidates a query. Teachers "
        f"are decoders of {depth_name(scale.teacher.layers)}, {scale.teacher.width} wide: "
        f"{scale.language_steps} steps of {scale.clicks} documents in each stage of language "
        f"modelling, at {scale.language_rate:g}, or {scale.continued_rate:g} for CPT of a model "
        f"that has read the documents; {scale.teacher_steps} of {scale.lists} lists in "
        "fine-tuning. Students are "
        f"encoders of {depth_name(scale.student.layers)} where nothing else is said, "
        f"{scale.student.width} wide, distilled in {scale.student_steps} steps of {scale.lists} "
        f"lists from the {' and '.join(scale.student_queries)} queries. All are trained from "
        "scratch."
    )
