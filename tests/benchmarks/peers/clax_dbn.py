"""CLAX's DBN on a log, timed; runs in CLAX's own environment (see sim_fit_dbn.py).

    clax_dbn.py LOG LEARNING_RATE

LOG is an .npz with `pair` and `clicked`, shape (pages, ranks), and `held_pair` and `held_clicked`.
Trains as CLAX's examples do: AdamW, batches of 4,096 pages, at most 50 epochs, and its default
stop after the first epoch whose held-out loss gains less than 1e-5. Batches lie in memory, and an
epoch before, with another model, has everything compiled.
stdout: {"seconds", "cpu_seconds", "epochs", "train", "held"}, the last two log-likelihoods per
result.
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

TRAIN_BATCH, HELD_BATCH = 4_096, 8_192
EPOCHS = 50


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
    log, rate = np.load(sys.argv[1]), float(sys.argv[2])
    train = batches(log["pair"], log["clicked"], TRAIN_BATCH)
    held = batches(log["held_pair"], log["held_clicked"], HELD_BATCH)
    trainer = Trainer(optimizer=adamw(rate), epochs=1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for trainer.epochs in (1, EPOCHS):
            model = DynamicBayesianNetwork(query_doc_pairs=int(log["pairs"]), rngs=nnx.Rngs(42))
            started, cpu_started = time.perf_counter(), time.process_time()
            epochs = trainer.train(model, train, held)
            seconds = time.perf_counter() - started
            cpu_seconds = time.process_time() - cpu_started
        likelihood = [
            float(trainer.test_clicks(model, part)["test_ll"].iloc[0]) for part in (train, held)
        ]
    found = {"seconds": seconds, "cpu_seconds": cpu_seconds, "epochs": len(epochs)}
    print(json.dumps(found | dict(zip(("train", "held"), likelihood, strict=True))))


if __name__ == "__main__":
    main()
