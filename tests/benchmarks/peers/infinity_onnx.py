"""Write model.onnx beside a model's weights: infinity's ONNX engine makes none itself.

python infinity_onnx.py FOLDER      in infinity's environment
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def main(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    model.eval()
    ids = torch.ones((2, 8), dtype=torch.long)
    torch.onnx.export(
        model,
        (ids, ids, torch.zeros_like(ids)),
        str(folder / "model.onnx"),
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in INPUTS}
        | {"logits": {0: "pairs"}},
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
