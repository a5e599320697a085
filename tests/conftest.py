"""What every test finds, whichever worker runs it."""

from __future__ import annotations

import os

# A test runner's worker reads its orders through readline, which writes the size of a terminal
# that is not there into the environment. Tests that read tables say how wide they are.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
