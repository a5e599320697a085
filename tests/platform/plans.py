"""Analysis plans for hypothesis: of every type and range that a plan can be stored and sent with,
not checked for sense."""

from __future__ import annotations

from hypothesis import strategies as st

from ranklift.store.analysis import (
    MAX_WHOLE,
    AnalysisPlan,
    Direction,
    Form,
    Guardrail,
    Horizon,
    Metric,
    ZeroRule,
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
parts = st.floats(0, 1, exclude_min=True, exclude_max=True)
metrics = st.builds(
    Metric,
    name=texts,
    title=texts,
    unit=texts,
    definition=texts,
    numerator=texts,
    denominator=st.none() | texts.filter(bool),
    form=st.sampled_from(Form),
    direction=st.sampled_from(Direction),
    cap_quantile=st.none() | st.floats(0, 1),
    when_zero=st.sampled_from(ZeroRule),
    parts_per_unit=st.integers(1, MAX_WHOLE),
)
plans = st.builds(
    AnalysisPlan,
    secondary_metrics=st.lists(texts, max_size=3).map(tuple),
    guardrails=st.lists(st.builds(Guardrail, metric=texts, margin=parts), max_size=3).map(tuple),
    metrics=st.lists(metrics, max_size=2).map(tuple),
    horizon=st.none() | st.sampled_from(Horizon),
    planned_units=st.integers(0, MAX_WHOLE),
    alpha=parts,
    power=parts,
    minimal_lift=st.floats(0, 10),
    covariates=st.booleans(),
    bot_pages_per_day=st.integers(0, MAX_WHOLE),
)
