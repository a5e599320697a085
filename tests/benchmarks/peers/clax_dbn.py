"""CLAX's DBN on a log, timed; needs its own environment (see sim_fit_dbn.py).

    clax_dbn.py LOG LEARNING_RATE

LOG is an .npz with `pair` and `clicked` of shape (pages, ranks), `held_pair` and `held_clicked`.
Trains as CLAX's examples do (AdamW, batches of 4,096, at most 50 epochs, stopping at the first
epoch whose held-out loss gains less than 1e-5), from batches that lie in memory, and prints a line of
JSON: seconds of training with and without compilation, epochs, and the log-likelihood per result of
both parts.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from typing import Any

import numpy as np
from clax import DynamicBayesianNetwork, Trainer
from flax import nnx
from optax import adamw

TRAIN_BATCH, EVAL_BATCH = 4_096, 8_192


def batches(pair: Any, clicked: Any, size: int) -> list[dict[str, Any]]:
    positions = np.broadcast_to(np.arange(1, pair.shape[1] + 1, dtype=np.int16), pair.shape)
    return [
        {
            "query_doc_ids": pair[rows],
            "positions": positions[rows],
            "mask": np.ones(pair[rows].shape, dtype=bool),
            "clicks": clicked[rows].astype(np.float32),
        }
        for rows in (slice(start, start + size) for start in range(0, len(pair), size))
    ]


def main() -> None:
    path, rate = sys.argv[1], float(sys.argv[2])
    log = np.load(path)
    pairs = int(max(log["pair"].max(), log["held_pair"].max())) + 1
    train = batches(log["pair"], log["clicked"], TRAIN_BATCH)
    held = batches(log["held_pair"], log["held_clicked"], EVAL_BATCH)

    def fit(epochs: int) -> tuple[Any, Any, float]:
        model = DynamicBayesianNetwork(query_doc_pairs=pairs, rngs=nnx.Rngs(42))
        trainer = Trainer(optimizer=adamw(rate), epochs=epochs)
        started = time.perf_counter()
        table = trainer.train(model, train, held)
        return trainer, (model, table), time.perf_counter() - started

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer, (model, table), seconds = fit(50)
        loss = [
            float(trainer.test_clicks(model, part)["test_ll"].iloc[0]) for part in (train, held)
        ]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "epochs": len(table),
                "train": loss[0],
                "held": loss[1],
                "cpu": time.process_time(),
                "cols": list(table.columns),
            }
        )
    )


if __name__ == "__main__":
    main()
