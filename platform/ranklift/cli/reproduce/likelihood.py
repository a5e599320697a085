"""What a language model says of documents without being taught to rank.

    s(q, d) = mean log P(token | query, tokens before)    over the document's tokens

the quantity that pre-training maximises for clicked documents, so that it needs
no prompt that the model has never seen. The mean, not the sum: a sum prefers
short documents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from ranklift.rankers.base import RankingList
from ranklift.rankers.encoding import PairEncoder, chunks, pad

CHUNK_TOKENS = 4_096


def likelihoods(
    model: PreTrainedModel, encoder: PairEncoder, lists: Sequence[RankingList]
) -> list[NDArray[np.float64]]:
    """Return for each list the scores of its documents, shape (documents,)."""
    pairs = [pair for each in lists for pair in encoder.encode(each.query, each.documents).pairs]
    values = np.empty(len(pairs), np.float64)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        for chunk in chunks([pair.tokens for pair in pairs], CHUNK_TOKENS):
            batch = pad([pairs[i] for i in chunk])
            logits = model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
            ).logits
            # Position i predicts token i + 1.
            said = logits[:, :-1].float().log_softmax(-1)
            told = said.gather(2, batch.input_ids[:, 1:, None]).squeeze(2)
            document = batch.token_type_ids[:, 1:]
            values[chunk] = ((told * document).sum(1) / document.sum(1)).double().numpy()
    return np.split(values, np.cumsum([len(each.documents) for each in lists])[:-1])
