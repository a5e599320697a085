"""Peers of the packed engine, one a process, for rank_engine.py.

Needs an interpreter that has them; ranklift does not need it:

    python -m venv build/peers/rank
    build/peers/rank/bin/pip install torch==2.13.0 transformers==5.23.0 \\
        sentence-transformers==6.2.0 openvino==2026.4.1

    build/peers/rank/bin/python tests/benchmarks/rank_engine_peers.py ENGINE FOLDER THREADS

ENGINE is "cross-encoder", "openvino-f32" or "openvino-bf16"; FOLDER holds a model with a scalar
head and its tokenizer. Reads a line of JSON, a list of requests [query, [document, ...]], and
answers it with {"seconds", "cpu_seconds", "scores"}, tokenisation included, until stdin ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

Score = Callable[[str, Sequence[str]], Sequence[float]]
BATCH = 32  # CrossEncoder's default
BUCKET_TOKENS = 2_048
MAX_TOKENS = 512


def cross_encoder(folder: str, threads: int) -> Score:
    """sentence-transformers' CrossEncoder.predict as it comes; it sorts by length itself."""
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(threads)
    model = CrossEncoder(folder, device="cpu", max_length=MAX_TOKENS)

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        pairs = [(query, document) for document in documents]
        found = model.predict(
            pairs, batch_size=BATCH, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        return [float(value) for value in found]

    return score


def openvino(folder: str, threads: int, precision: str) -> Score:
    """OpenVINO with dynamic shapes, fed in buckets of like length: padding costs it little."""
    ov = import_module("openvino")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    example = dict(tokenizer([("a b", "c"), ("a", "b c d")], padding=True, return_tensors="pt"))
    compiled = ov.Core().compile_model(
        ov.convert_model(model, example_input=example),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    names = [each.get_any_name() for each in compiled.inputs]

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        encoded: Any = tokenizer(
            [(query, document) for document in documents], truncation=True, max_length=MAX_TOKENS
        )
        ids = encoded["input_ids"]
        scores = np.empty(len(documents))
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        while order:
            width = len(ids[order[0]])
            bucket = order[: max(1, BUCKET_TOKENS // width)]
            del order[: len(bucket)]
            batch = tokenizer.pad(
                {name: [encoded[name][i] for i in bucket] for name in encoded}, return_tensors="np"
            )
            inputs = {name: batch[name].astype(np.int64) for name in names}
            scores[bucket] = compiled(inputs)[0][:, 0]
        return [float(value) for value in scores]

    return score


def main() -> None:
    engine, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    score = (
        cross_encoder(folder, threads)
        if engine == "cross-encoder"
        else openvino(folder, threads, engine.removeprefix("openvino-"))
    )
    for line in sys.stdin:
        requests = json.loads(line)
        began, cpu = time.perf_counter(), time.process_time()
        scores = [list(score(query, documents)) for query, documents in requests]
        answer = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "scores": scores,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
