"""
Payloads that nobody reads without your key.

With ``Ledger(…, cipher=Keyring(key))`` arguments, edited arguments, facts, results, errors and what
events quote of them are encrypted (AES-256-GCM) before they reach the database, each bound to its
effect and column. Every workflow has a data key of its own, kept in the database wrapped in yours:
changing your key wraps the data keys anew and touches no payload, and deleting a workflow's data
key (``ledger.shred``) makes its payloads unreadable for good, in every backup, too.

What stays readable: names of tools and workflows, statuses, times, figures, what people say when
they decide, and the digests. A digest is not keyed, since it is part of an effect's identity:
whoever reads the database and can guess all arguments of a call can tell that the guess is right.
"""

from __future__ import annotations

from tallystick.encryption._keyring import Keyring

__all__ = ["Keyring"]
