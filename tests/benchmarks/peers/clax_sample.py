"""CLAX's compiled sampler of a DBN, timed; needs an environment of its own (see sim_sampling.py).

    clax_sample.py PAGES QUERIES

Ten results a page, batches of 50,000 in memory, clicks stay where they were drawn. Prints a line of
JSON: pages per second, the fastest of three passes after the one that compiles.
"""

from __future__ import annotations

import json
import sys
import time

import jax
import numpy as np
from clax import DynamicBayesianNetwork
from flax import nnx

BATCH, RESULTS, DOCUMENTS = 50_000, 10, 16


def main() -> None:
    pages, queries = int(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(1)
    model = DynamicBayesianNetwork(query_doc_pairs=queries * DOCUMENTS, rngs=nnx.Rngs(1))
    query = rng.integers(0, queries, BATCH)
    batch = {
        "query_doc_ids": jax.numpy.asarray(query[:, None] * DOCUMENTS + np.arange(RESULTS)),
        "positions": jax.numpy.tile(jax.numpy.arange(1, RESULTS + 1), (BATCH, 1)),
        "mask": jax.numpy.ones((BATCH, RESULTS), dtype=bool),
    }
    sample = nnx.jit(lambda model, batch, rngs: model.sample(batch, rngs))
    rngs = nnx.Rngs(2)
    jax.block_until_ready(sample(model, batch, rngs).clicks)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(pages // BATCH):
            drawn = sample(model, batch, rngs)
            jax.block_until_ready((drawn.clicks, drawn.satisfaction))
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"pages_per_second": pages // BATCH * BATCH / min(seconds)}))


if __name__ == "__main__":
    main()
