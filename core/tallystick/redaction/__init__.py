"""
What is never stored, shown, logged or put into an event.

Rules name places in arguments and results (``"customer.email"``, ``"cards[].number"``); detectors
find what looks like a secret wherever it stands: keys and tokens, payment cards, IBANs, e-mail
addresses. What *runs* always gets the caller's real values, and hashes cover them.

>>> from tallystick import Ledger
>>> ledger = Ledger("memory://", redact=Redaction(detect=True))
>>> ledger.call("mail", lambda to: f"sent to {to}", {"to": "ann@example.com"}, workflow="w")
'sent to ann@example.com'
>>> ledger.effects()[0].args, ledger.effects()[0].result
({'to': '[redacted:email]'}, 'sent to [redacted:email]')
>>> ledger.close()
"""

from __future__ import annotations

from tallystick.redaction._detectors import DETECTORS, Detector
from tallystick.redaction._presidio import presidio
from tallystick.redaction._rules import Redact, Redaction

__all__ = ["DETECTORS", "Detector", "Redact", "Redaction", "presidio"]
