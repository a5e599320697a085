"""One of CLAX's click models on a log, timed; needs an environment of its own.

    clax_fit.py CLASS LOG LEARNING_RATE

CLASS is CLAX's name of the model. LOG is an .npz with `pair` and `clicked` of shape (pages, ranks),
and `held_pair` and `held_clicked`. Trains as CLAX's examples do (AdamW, batches of 4,096, at most
50 epochs, stopping at the first epoch whose held-out loss gains too little), from batches that lie
in memory, once everything is compiled. Prints a line of JSON: seconds of training, seconds of
processor time, seconds of the epoch before them that compiles, epochs, and the log-likelihood per
result of both parts.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from typing import Any

import clax
import numpy as np
from clax import Trainer
from flax import nnx
from optax import adamw

TRAIN_BATCH, EVAL_BATCH = 4_096, 8_192
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
    name, path, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
    log = np.load(path)
    pairs = int(max(log["pair"].max(), log["held_pair"].max())) + 1
    train = batches(log["pair"], log["clicked"], TRAIN_BATCH)
    held = batches(log["held_pair"], log["held_clicked"], EVAL_BATCH)
    arguments: dict[str, Any] = {"query_doc_pairs": pairs, "rngs": nnx.Rngs(42)}
    if name != "DynamicBayesianNetwork":
        arguments["positions"] = log["pair"].shape[1]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer = Trainer(optimizer=adamw(rate), epochs=1)
        began = time.perf_counter()
        trainer.train(getattr(clax, name)(**arguments), train, held)
        compilation = time.perf_counter() - began
        trainer.epochs = EPOCHS
        model = getattr(clax, name)(**{**arguments, "rngs": nnx.Rngs(42)})
        began, processor = time.perf_counter(), time.process_time()
        history = trainer.train(model, train, held)
        seconds, processor = time.perf_counter() - began, time.process_time() - processor
        scores = [
            float(trainer.test_clicks(model, part)["test_ll"].iloc[0]) for part in (train, held)
        ]
    found = {"seconds": seconds, "processor": processor, "compilation": compilation}
    found |= {"epochs": len(history), "log_likelihood": scores[0], "held": scores[1]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
