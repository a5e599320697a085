"""Whether a trained model tells documents apart at all."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Check on the first of `lists` that the model tells documents of one query apart.

    Raises:
        TrainingFailed: all scores of a query are the same, as after a rate too high.
    """
    batch = collate_lists(lists[:CHECKED_LISTS])
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
