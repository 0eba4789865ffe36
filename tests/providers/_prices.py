"""What the tests' models cost; apart from the providers' clients, which are slow to import."""

from __future__ import annotations

from tallystick.prices import Overrides
from tests.providers._stories import CLAUDE, GPT

_RATES = {"input": "1", "cache_read": "0.1", "cache_write": "1.25", "output": "10"}
_LIMITS = {"max_input": 100_000, "max_output": 1000}

#: dollars per million tokens
PRICES = Overrides({GPT: _RATES | _LIMITS, CLAUDE: _RATES | _LIMITS}, label="test")
