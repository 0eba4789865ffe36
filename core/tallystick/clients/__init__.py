"""
Budgets for any OpenAI or Anthropic client.

A watched client reserves at ``send`` of its HTTP client, the one place that every request passes:
``parse``, streams, raw responses, ``with_options``, retries and endpoints of next year cannot go
around it, and each attempt is a reservation of its own. What runs no model passes freely; what may
cost something and is not understood has no upper bound, so that a budget of money or tokens
refuses it.

::

    ledger.budget("order", usd="2.00", per="session")
    client = watch(OpenAI(), ledger, budget="order", session="order-42")
    client.chat.completions.create(model="gpt-5-mini", messages=[...])
    session_of(client).tokens
"""

from __future__ import annotations

from tallystick.clients._watch import session_of, watch

__all__ = ["session_of", "watch"]
