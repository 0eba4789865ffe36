"""The contract that every store keeps."""

from __future__ import annotations

from tallystick.testing._contract._accounts import Accounts
from tallystick.testing._contract._acts import Acts
from tallystick.testing._contract._approvals import Approvals
from tallystick.testing._contract._archives import Archives
from tallystick.testing._contract._asking import Asking
from tallystick.testing._contract._audit import Audit
from tallystick.testing._contract._budgets import Budgets, Paying, Windows
from tallystick.testing._contract._bypassed import Bypassing
from tallystick.testing._contract._calls import Calls
from tallystick.testing._contract._conditions import Conditions
from tallystick.testing._contract._contained import Contained
from tallystick.testing._contract._deaths import Deaths
from tallystick.testing._contract._depended import Depended
from tallystick.testing._contract._finality import Finality
from tallystick.testing._contract._forgotten import Forgotten
from tallystick.testing._contract._guarantees import Guarantees
from tallystick.testing._contract._halts import Halts
from tallystick.testing._contract._identity import Identity
from tallystick.testing._contract._imported import Imported
from tallystick.testing._contract._moves import Moves
from tallystick.testing._contract._placed import Placed
from tallystick.testing._contract._proven import Proving
from tallystick.testing._contract._redacted import Redacted
from tallystick.testing._contract._replayed import Replayed
from tallystick.testing._contract._results import Results
from tallystick.testing._contract._retention import Retention
from tallystick.testing._contract._retries import Retries
from tallystick.testing._contract._runs import Runs
from tallystick.testing._contract._shown import Shown
from tallystick.testing._contract._telling import Telling
from tallystick.testing._contract._tenants import Tenants
from tallystick.testing._contract._transactions import Transactions
from tallystick.testing._contract._undoing import Undoing
from tallystick.testing._contract._waiting import Waiting

__all__ = ["StoreContract"]


class StoreContract(
    Calls,
    Retention,
    Forgotten,
    Moves,
    Guarantees,
    Deaths,
    Approvals,
    Conditions,
    Finality,
    Shown,
    Redacted,
    Halts,
    Identity,
    Placed,
    Replayed,
    Budgets,
    Windows,
    Paying,
    Asking,
    Telling,
    Bypassing,
    Accounts,
    Results,
    Retries,
    Waiting,
    Tenants,
    Audit,
    Archives,
    Imported,
    Acts,
    Undoing,
    Contained,
    Depended,
    Runs,
    Proving,
    Transactions,
):
    """
    What every store must keep, yours included: a class of tests, run by pytest.

    Say how a ledger on your store is opened, and what the store can do; once per face::

        class TestMyStore(StoreContract):
            durable = True

            def open(self, **options):
                return Ledger(MyStore(self.place), **options)

        class TestMyStoreAwaited(TestMyStore):
            awaiting = True

    Each test starts with an empty database (a fixture with ``autouse=True`` may put it into
    ``self``) and may open several ledgers on it, which stand for several processes. The
    capabilities are ``transactional``, ``durable``, ``damageable`` and ``lease``; what a store does
    not claim to do is reported as skipped. After every test the ledger must be sound.
    """
