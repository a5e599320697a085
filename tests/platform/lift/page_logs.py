"""Logs of pages and clicks that ranklift did not write, drawn at random."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

T0 = datetime(2025, 3, 1, tzinfo=UTC)


def draw_pages(seed: int, units: int = 40, pages: int = 300) -> pl.DataFrame:
    """Return pages over three days with every documented column but those about clicks."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, units, pages)
    after = rng.integers(0, 3 * 86_400_000_000, pages)
    return pl.DataFrame(
        {
            "user_id": [f"u{number:03}" for number in user],
            "arm": np.where(user % 2 == 0, "control", "student"),
            "page_id": np.arange(pages),
            "timestamp": [T0 + timedelta(microseconds=int(us)) for us in after],
            "session_id": [f"s{number}" for number in rng.integers(0, 3, pages)],
            "latency_ms": rng.exponential(20, pages),
            "pre_clicks": [None if u % 5 == 0 else int(u % 7) for u in user],
            "device": rng.choice(["phone", "desk"], pages).tolist(),
            "known": user % 3 == 0,
        }
    )


def draw_clicks(seed: int, pages: pl.DataFrame, clicks: int = 200) -> pl.DataFrame:
    """Return clicks on these pages, a fifth without a dwell and a tenth of the rest censored."""
    rng = np.random.default_rng(seed)
    on = rng.integers(0, pages.height, clicks)
    later = rng.integers(0, 60_000_000, clicks)
    seconds = rng.lognormal(3, 1, clicks)
    return pl.DataFrame(
        {
            "page_id": pages["page_id"].gather(on),
            "click_id": np.arange(clicks),
            "timestamp": pages["timestamp"].gather(on) + pl.Series(later).cast(pl.Duration("us")),
            "position": rng.integers(1, 15, clicks),
            "dwell_seconds": pl.Series(seconds).set(pl.Series(rng.random(clicks) < 0.2), None),
            "censored": rng.random(clicks) < 0.1,
        }
    )
