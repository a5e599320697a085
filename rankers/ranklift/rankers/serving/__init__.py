"""How requests become batches: a cost model, a queue, admission, and a few workers."""

from __future__ import annotations
