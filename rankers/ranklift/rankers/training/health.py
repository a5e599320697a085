"""Whether a trained model tells documents apart at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from transformers import PreTrainedModel

from ranklift.rankers.failures import TrainingFailed
from ranklift.rankers.training.batches import EncodedList, collate_lists, list_scores

# Logits live on a scale of 1 (the margin of the rank loss, the standard
# deviation of the teacher's scores), where fp32 keeps six digits: a spread below
# this is rounding. An untrained head has ten times as much.
LEAST_SPREAD = 5e-6
# So many lists say whether a model has collapsed.
CHECKED_LISTS = 4


def refuse_collapse(model: PreTrainedModel, kind: str, lists: Sequence[EncodedList]) -> None:
    """Check on the first of `lists` that hold different documents that the model tells them apart.

    Raises:
        TrainingFailed: all scores of a query are the same, as after a rate too high.
    """
    several = [each for each in lists if len(each.pairs) > 1]
    telling = (each for each in several if len({pair.ids for pair in each.pairs}) > 1)
    # Where no list has two documents that read differently, there is nothing to learn either.
    checked = list(islice(telling, CHECKED_LISTS)) or several[:CHECKED_LISTS]
    if not checked:
        return
    batch = collate_lists(checked)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        scores = list_scores(model, kind, batch)
    rows = [row[mask].double() for row, mask in zip(scores, batch.mask, strict=True)]
    spread = max(row.std(correction=0).item() for row in rows)
    if not spread >= LEAST_SPREAD:
        raise TrainingFailed(
            f"the model gives all documents of a query the same score (spread {spread:.1e}); "
            "lower the learning rate, or pre-train longer"
        )
