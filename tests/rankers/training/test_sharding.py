"""What FSDP does to a model is undone: by torch's own sharding, in a group of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ranklift.rankers.backbones import load_language_model, load_scorer
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.saving import save
from ranklift.rankers.training.batches import collate_lists, encode_lists, list_scores
from ranklift.rankers.training.health import refuse_collapse
from ranklift.rankers.training.sharding import become, blank_of


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Any]:
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        distributed.destroy_process_group()


def sharded(model: Any, mesh: Any) -> dict[str, torch.Tensor]:
    """Shard a decoder in place, layer by layer, and return its whole state."""
    for layer in model.base_model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(weight, DTensor) for weight in model.parameters())
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, Any] = get_model_state_dict(model, options=options)
    return state


def test_a_sharded_teacher_is_whole_again_and_scores_as_before(
    artefacts: dict[str, Path], judged: list[RankingList], group: Any, tmp_path: Path
) -> None:
    folder = artefacts["decoder"]
    model: Any = load_scorer(folder)
    tokenizer = load_tokenizer(folder)
    lists = encode_lists(PairEncoder(tokenizer, "decoder", 32), judged[:3])
    with torch.no_grad():
        expected = list_scores(model, "decoder", collate_lists(lists))
    kind = type(model)
    blank = blank_of(model)
    assert all(weight.is_meta for weight in blank.parameters())
    become(model, blank, sharded(model, group))
    assert type(model) is kind
    assert not any(isinstance(weight, DTensor) for weight in model.parameters())
    with torch.no_grad():
        found = list_scores(model, "decoder", collate_lists(lists))
    assert torch.equal(found, expected)
    refuse_collapse(model, "decoder", lists)
    save(model, tokenizer, tmp_path / "saved", max_tokens=32)
    with torch.no_grad():
        again = list_scores(load_scorer(tmp_path / "saved"), "decoder", collate_lists(lists))
    assert torch.equal(again, expected)


def test_tied_weights_are_one_again(artefacts: dict[str, Path], group: Any) -> None:
    model: Any = load_language_model(artefacts["causal_lm"])
    model.config.tie_word_embeddings = True
    model.tie_weights()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    blank = blank_of(model)
    become(model, blank, sharded(model, group))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
