"""PyClick's PBM and UBM on a log, timed; needs its checkout on the path (see sim_fit_counts.py).

    pyclick_fit.py PBM|UBM LOG ITERATIONS

LOG is an .npz with `query`, shape (pages,), `pair` and `clicked`, shape (pages, ranks). Prints a
line of JSON: seconds of the fit, seconds of processor time, and the log-likelihood per result.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

import numpy as np


def main() -> None:
    name, path, iterations = sys.argv[1], sys.argv[2], int(sys.argv[3])
    model_class = getattr(importlib.import_module(f"pyclick.click_models.{name}"), name)
    inference = importlib.import_module("pyclick.click_models.Inference").EMInference
    evaluation = importlib.import_module("pyclick.click_models.Evaluation").LogLikelihood
    session_class = importlib.import_module("pyclick.search_session.SearchSession").SearchSession
    result_class = importlib.import_module("pyclick.search_session.SearchResult").SearchResult
    log = np.load(path)
    sessions = []
    for query, pairs, clicks in zip(
        log["query"].tolist(), log["pair"].tolist(), log["clicked"].tolist(), strict=True
    ):
        session = session_class(str(query))
        session.web_results = [
            result_class(str(pair), int(click)) for pair, click in zip(pairs, clicks, strict=True)
        ]
        sessions.append(session)
    model = model_class()
    model._inference = inference(iterations)
    began, processor = time.perf_counter(), time.process_time()
    model.train(sessions)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    found = {
        "seconds": seconds,
        "processor": processor,
        "log_likelihood": evaluation().evaluate(model, sessions),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
