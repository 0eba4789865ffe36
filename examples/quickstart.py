"""Five minutes with tallystick: run me twice, and the card is charged once."""

from __future__ import annotations

import sys

from tallystick import ApprovalRequired, Ledger, Policy, current_effect


def charge(order: str, cents: int) -> dict[str, str | int]:
    """A tool: it would call a payment service and pass the key that the service deduplicates on."""
    key = current_effect().idempotency_key
    print(f"charging {cents} cents for {order} (key {key[:12]}…)")
    return {"id": f"ch_{order}", "cents": cents}


def refund(order: str) -> str:
    """A tool that a person has to agree to."""
    return f"refunded {order}"


def main(url: str = "sqlite:///quickstart.db") -> None:
    """Charge twice, be charged once; ask a person before the refund."""
    with Ledger(url) as ledger, ledger.workflow("order-42"):
        first = ledger.call("charge", charge, {"order": "42", "cents": 500})
        again = ledger.call("charge", charge, {"order": "42", "cents": 500})
        print("the same answer, one charge:", first == again)

        careful = Policy(approval=True)
        try:
            ledger.call("refund", refund, {"order": "42"}, policy=careful)
        except ApprovalRequired as waiting:
            print("a person must decide:", waiting.arguments)
            ledger.approve(waiting.key, by="ann", reason="the customer is right")
        print(ledger.call("refund", refund, {"order": "42"}, policy=careful))


if __name__ == "__main__":
    main(*sys.argv[1:])
