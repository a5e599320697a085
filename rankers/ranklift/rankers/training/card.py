"""What a trained version says of itself: a run manifest for machines, a model card for people.

Neither holds a clock time or a path, so that the same work twice has the same digest.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ranklift.rankers.artefacts import Manifest
from ranklift.rankers.training.loop import Trained
from ranklift.rankers.training.processes import world_size

RUN, CARD = "run.json", "README.md"
PACKAGES = ("accelerate", "numpy", "safetensors", "tokenizers", "torch", "transformers")
STAGES = {
    "cpt": "continued pre-training on clicks: from a query to the document that was clicked",
    "sft": "rank fine-tuning on judged lists",
    "distil": "distillation from a teacher's scores",
}
PAPER = "https://arxiv.org/abs/2411.04539"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a stage learnt from, how much of it: lists or clicks, and pairs in them."""

    examples: int
    pairs: int


def write_card(folder: Path, manifest: Manifest, learnt: Learnt, trained: Trained) -> None:
    """Write run manifest and model card into a new artefact's folder."""
    run = {
        "stage": manifest.lineage.stage,
        "parents": list(manifest.lineage.parents),
        "data": {
            "digest": manifest.lineage.data,
            "examples": learnt.examples,
            "pairs": learnt.pairs,
        },
        "settings": dict(manifest.lineage.options),
        "result": {"loss": trained.loss, "steps": trained.steps},
        "environment": environment(),
    }
    (folder / RUN).write_text(json.dumps(run, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / CARD).write_text(_card(manifest, learnt, trained), "utf-8")


def environment() -> Mapping[str, str | int]:
    """Return what else the same seed needs to give the same weights."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    packages: dict[str, str | int] = {name: version(name) for name in PACKAGES}
    return packages | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(device or "cpu"),
        "threads": torch.get_num_threads(),
        "processes": world_size(),
    }


def _card(manifest: Manifest, learnt: Learnt, trained: Trained) -> str:
    lineage = manifest.lineage
    ranker = manifest.kind != "causal_lm"
    options = "\n".join(f"| {name} | {value} |" for name, value in sorted(lineage.options.items()))
    parents = ", ".join(f"`{parent[:19]}`" for parent in lineage.parents) or "none"
    use = (
        "It scores a query and a document read together: the higher, the better; scores are "
        "logits and no probabilities. It loads as `AutoModelForSequenceClassification`."
        if ranker
        else "It is a language model on its way to a ranker and loads as `AutoModelForCausalLM`."
    )
    return f"""---
library_name: transformers
pipeline_tag: {"text-ranking" if ranker else "text-generation"}
tags:
- ranklift
- {manifest.kind.replace("_", "-")}
---

# A ranking model, stage {lineage.stage}

Made by {STAGES[lineage.stage]} (after [DisRanker]({PAPER})).

{use} It reads at most {manifest.max_tokens} tokens; what does not fit is cut off the document.

| made from | |
|---|---|
| parents | {parents} |
| data | `{lineage.data[:19]}`: {learnt.examples} examples, {learnt.pairs} pairs |
| last loss | {trained.loss:.6g} after {trained.steps} steps |

| setting | value |
|---|---|
{options}

What it learnt is what users clicked or judges said in that data, their habits and biases
included. How well it ranks is not known from its training: `ranklift evaluate` says it,
on queries that it has not seen. Versions of everything are in `{RUN}`.
"""
