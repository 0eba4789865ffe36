"""
Listeners: what happened, for whoever wants to know.

Give a hook to ``Ledger(hooks=[…])``. A hook is any callable of one :class:`Details`;
:func:`logging_hook` and :func:`otel_hook` are two that are ready made.
"""

from __future__ import annotations

from tallystick._hooks import Details, Hook
from tallystick.hooks._logging import logging_hook
from tallystick.hooks._otel import otel_hook

__all__ = ["Details", "Hook", "logging_hook", "otel_hook"]
