"""Which engine serves what, and what the log says when it is not the quick one."""

from __future__ import annotations

import pytest
import torch
from structlog.testing import capture_logs
from tests.rankers.engines.encoders import (
    MAX_TOKENS,
    SHAPE,
    TEMPLATE,
    bert,
    electra,
    random_pairs,
    spread,
)
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from ranklift.rankers.backbones import seeded
from ranklift.rankers.engines import packed_linear
from ranklift.rankers.engines.base import Engine
from ranklift.rankers.engines.choice import choose_engine
from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.v1.errors import InvalidRequest, NotReady


def distilbert() -> PreTrainedModel:
    config = DistilBertConfig(vocab_size=300, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    config.num_labels = 1
    with seeded(7):
        return spread(DistilBertForSequenceClassification(config))


def roberta() -> PreTrainedModel:
    with seeded(8):
        config = RobertaConfig(**(SHAPE | {"max_position_embeddings": 600, "type_vocab_size": 1}))
        return spread(RobertaForSequenceClassification(config))


def llama() -> PreTrainedModel:
    with seeded(9):
        config = LlamaConfig(**(SHAPE | {"num_key_value_heads": 1, "pad_token_id": 0}))
        return spread(LlamaForSequenceClassification(config))  # type: ignore[no-untyped-call]


def chosen(model: PreTrainedModel, kind: str, numerics: str) -> Engine:
    return choose_engine(
        model,
        kind,
        numerics,
        template=TEMPLATE,
        max_tokens=MAX_TOKENS,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(
    ("model", "kind", "numerics", "name"),
    [
        (bert(), "encoder", "fp32", "packed"),
        (bert(), "encoder", "bf16", "packed"),
        (electra(), "encoder", "fp32", "packed"),
        (electra(), "encoder", "bf16", "packed"),
        (llama(), "decoder", "fp32", "reference"),
        (llama(), "decoder", "bf16", "varlen"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.config.model_type,
)
def test_which_engine_serves(model: PreTrainedModel, kind: str, numerics: str, name: str) -> None:
    engine = chosen(model, kind, numerics)
    assert (engine.name, engine.numerics) == (name, numerics)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (distilbert(), 'the architecture "distilbert" is neither bert nor electra'),
        (roberta(), 'the architecture "roberta" is neither bert nor electra'),
        (bert(hidden_act="silu"), 'the activation "silu" is none of'),
        (bert(type_vocab_size=1), "it has no types of tokens"),
        (bert(num_labels=3), "it has 3 labels, not one"),
    ],
    ids=["distilbert", "roberta", "silu", "no types", "labels"],
)
def test_what_is_not_known_is_served_by_the_reference_and_the_log_says_why(
    model: PreTrainedModel, reason: str
) -> None:
    with capture_logs() as logs:
        engine = chosen(model, "encoder", "fp32")
    assert engine.name == "reference"
    assert len(set(engine.scores(random_pairs([5, 17, 30])).round(4))) == 3
    assert [each["event"] for each in logs] == ["served by the reference engine"]
    assert logs[0]["reason"].startswith(reason)


def test_in_bf16_what_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be served in bf16: the architecture"):
        chosen(distilbert(), "encoder", "bf16")


def test_numerics_that_no_engine_has_are_refused() -> None:
    with pytest.raises(InvalidRequest, match='"fp8" must be one of fp32, bf16'):
        chosen(bert(), "encoder", "fp8")


def test_a_wrong_packed_engine_in_fp32_gives_way_to_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The fault: the approximate GELU where the exact one belongs, in both kinds of layers.
    approximate = {**packed_linear.FUSED, "gelu": packed_linear.FUSED["gelu_tanh"]}
    monkeypatch.setattr(packed_linear, "FUSED", approximate)
    almost = packed_linear.activation_of("gelu_tanh")
    monkeypatch.setattr(packed_linear, "activation_of", lambda _: almost)
    model = bert()
    with capture_logs() as logs:
        engine = chosen(model, "encoder", "fp32")
    assert engine.name == "reference"
    assert "the packed one is off: its scores are off by" in logs[-1]["reason"]
    pairs = random_pairs([5, 17])
    expected = ReferenceEngine(model, "encoder").scores(pairs)
    assert engine.scores(pairs).tolist() == expected.tolist()


def test_a_wrong_packed_engine_in_bf16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "FUSED", dict.fromkeys(packed_linear.FUSED, ("none", "")))
    monkeypatch.setattr(packed_linear, "activation_of", lambda _: lambda rows: rows)
    with pytest.raises(NotReady, match="too far off in bf16 on this machine"):
        chosen(bert(), "encoder", "bf16")


def test_a_processor_without_bf16_is_named_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with capture_logs() as logs:
        assert chosen(bert(), "encoder", "bf16").name == "packed"
    assert "bf16 without instructions for it" in logs[0]["event"]
