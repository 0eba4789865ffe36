"""``python -m tallystick.cli``."""

from __future__ import annotations

from tallystick.cli import main

main()
