"""The SQL of data keys, each statement with a name and a sentence; see ``_sql`` for the words."""

from __future__ import annotations

from tallystick._vault import DataKey

_KEY = ", ".join(f"d.{name}" for name in DataKey._fields)

#: effects of the workflow that somebody still has to do something about
_OPEN = """SELECT 1 FROM tallystick_effect e
        WHERE e.scope = :scope
          AND e.status IN ('pending', 'approved', 'running', 'in_doubt', 'compensating',
                           'compensation_failed')
          AND coalesce(e.result_note, '') <> 'kept'"""

VAULT_STATEMENTS = {
    # Keep a workflow's key, once.
    "put_datakey": """
INSERT INTO tallystick_datakey (scope, tenant, workflow, kek, wrapped, created_at)
VALUES (:scope, :tenant, :workflow, :kek, :wrapped, {now}) ON CONFLICT (scope) DO NOTHING""",
    # Read it.
    "datakey": f"SELECT {_KEY} FROM tallystick_datakey d WHERE d.scope = :scope",
    # Read keys, some at a time.
    "datakeys": f"""
SELECT {_KEY} FROM tallystick_datakey d
 WHERE d.tenant = :tenant AND d.scope > :after ORDER BY d.scope LIMIT :limit""",
    # Wrap it in another one.
    "rewrap": """
UPDATE tallystick_datakey SET kek = :kek, wrapped = :wrapped
 WHERE scope = :scope AND kek = :was AND wrapped IS NOT NULL""",
    # Delete it for good, if nothing in the workflow is open.
    "shred": f"""
UPDATE tallystick_datakey SET wrapped = NULL, shredded_at = {{now}}
 WHERE scope = :scope AND wrapped IS NOT NULL
   AND NOT EXISTS ({_OPEN})""",
    # What is open in a workflow.
    "open_in": f"SELECT count(*) FROM ({_OPEN}) AS o",
}
