"""
Listeners: what happened, for whoever wants to know.

Give a hook to ``Ledger(hooks=[…])``. A hook is any callable of one :class:`Details`;
:func:`logging_hook`, :func:`otel_hook` and :func:`webhook_hook` are three that are ready made.
"""

from __future__ import annotations

from tallystick._hooks import Details, Hook, NotYet
from tallystick.hooks._logging import logging_hook
from tallystick.hooks._otel import otel_hook
from tallystick.hooks._webhook import Webhook, webhook_hook

__all__ = ["Details", "Hook", "NotYet", "Webhook", "logging_hook", "otel_hook", "webhook_hook"]
