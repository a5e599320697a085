"""Forward passes: pairs of token ids in, scores out.

`reference` is the library's own, padded, and says what is right. The others
are quicker and are held against it.
"""

from __future__ import annotations
