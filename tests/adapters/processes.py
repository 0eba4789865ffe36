"""Where processes of the tests run, and what they can import."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: the source roots come first, installed or not
ENVIRON = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", ".")),
}
