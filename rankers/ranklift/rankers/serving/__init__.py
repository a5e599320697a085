"""How requests become batches: a cost model, a queue, admission, and one worker."""

from __future__ import annotations
