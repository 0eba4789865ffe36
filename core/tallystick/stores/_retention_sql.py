"""The SQL of retention, each statement with a name and a sentence; see ``_sql`` for the words."""

from __future__ import annotations

from tallystick._model import OVER
from tallystick._undoing._tools import MARKS

_MARKS = ", ".join(f"'{tool}'" for tool in MARKS)
_OVER = ", ".join(f"'{status.value}'" for status in OVER)

#: over for long enough, waiting for nobody, and never begun again as it was approved
_PAST = f"""e.status IN ({_OVER}) AND e.changed_at <= :before AND e.tool NOT IN ({_MARKS})
   AND NOT (coalesce(e.result_note, '') = 'retryable'
            AND coalesce(e.approval_until, 0) > {{now}})
   AND NOT EXISTS (SELECT 1 FROM tallystick_inbox i WHERE i.key = e.key)"""

#: not dropped since it came to its end
_HOLDS = """(substr(e.args, 1, 1) = '{{' OR e.args < CAST(e.changed_at AS TEXT))"""

#: figures stay, and what is not known stays visible with what was said of it
_TOLD = "r.state IN ('settled', 'released') AND r.settled_at <= :before AND r.note IS NOT NULL"

RETENTION_STATEMENTS = {
    # Drop what an effect was given and what it brought, if nobody can need it any more.
    "drop_payload": f"""
UPDATE tallystick_effect AS e
   SET args = :args, edited = :edited, facts = :facts, result = :result, error = :error,
       events = :events, head = :head, undo = :undo
 WHERE e.key = :key AND {_PAST}""",
    # How an effect is undone.
    "plan": "SELECT undo FROM tallystick_effect WHERE key = :key",
    # Leave of an event what it does not quote.
    "strip_event": "UPDATE tallystick_event SET detail = :detail WHERE key = :key AND n = :n",
    # Drop what was said about a reservation that is over.
    "drop_note": f"UPDATE tallystick_reservation AS r SET note = NULL WHERE r.id = :id AND {_TOLD}",
    # The next effects in the order of writing with their workflows, and the keys of those with
    # something to drop.
    "stale": f"""
SELECT e.seq, CASE WHEN {_HOLDS} AND {_PAST} THEN e.key END, e.workflow
  FROM tallystick_effect e
 WHERE e.tenant = :tenant AND e.seq > :after ORDER BY e.seq LIMIT :limit""",
    # The same of reservations.
    "stale_notes": f"""
SELECT r.seq, CASE WHEN {_TOLD} THEN r.id END, ''
  FROM tallystick_reservation r
 WHERE r.tenant = :tenant AND r.seq > :after ORDER BY r.seq LIMIT :limit""",
}
