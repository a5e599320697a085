"""Triton's own client against the server at sys.argv[1]; says as JSON what it got.

    python triton_client.py HOST:PORT < {"model": "m", "query": "q", "documents": [], "titles": []}

A process of its own: the client registers the protocol's symbols, as the server does, and a process
can have them only once.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.grpc as triton


def text_input(name: str, texts: list[str]) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_))
    return tensor


def main() -> None:
    asked = json.load(sys.stdin)
    with triton.InferenceServerClient(sys.argv[1]) as client:
        result = client.infer(
            asked["model"],
            [
                text_input("documents", asked["documents"]),
                text_input("query", [asked["query"]]),
                text_input("titles", asked["titles"]),
            ],
            outputs=[triton.InferRequestedOutput("scores")],
            request_id="r1",
            client_timeout=30,
        )
        try:
            client.infer("nobody", [text_input("query", ["q"]), text_input("documents", ["d"])])
        except triton.InferenceServerException as error:
            refusal = {"code": error.status(), "message": error.message()}
        scores = result.as_numpy("scores")
        said = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [client.is_model_ready(name) for name in (asked["model"], "nobody")],
            "server": client.get_server_metadata(as_json=True)["name"],
            "metadata": client.get_model_metadata(asked["model"], as_json=True),
            "scores": scores.astype(float).tolist(),
            "dtype": str(scores.dtype),
            "response": result.get_response(as_json=True),
            "refusal": refusal,
        }
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
