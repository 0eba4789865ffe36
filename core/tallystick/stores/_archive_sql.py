"""The SQL of exports and imports, each statement with a name and a sentence."""

from __future__ import annotations

from tallystick._model import Row

_ROW = ", ".join(f"e.{name}" for name in Row._fields)
_COLUMNS = (*Row._fields, "scope", "twin", "place", "undo")

ARCHIVE_STATEMENTS = {
    # Effects in the order they were written, with what is not part of a row.
    "records": f"""
SELECT e.seq, {_ROW}, e.twin, e.place, e.undo FROM tallystick_effect e
 WHERE e.tenant = :tenant AND e.seq > :after{{where}} ORDER BY e.seq LIMIT :limit""",
    # An effect, whosever it is.
    "known": f"SELECT {_ROW}, e.twin, e.place, e.undo FROM tallystick_effect e WHERE e.key = :key",
    # A chain of events, whosever it is.
    "record_events": """
SELECT key, n, kind, actor, at, epoch, detail, previous, hash
  FROM tallystick_event WHERE key = :key ORDER BY n""",
    # All votes about an effect.
    "record_votes": """
SELECT round, actor, digest, reason, at FROM tallystick_vote
 WHERE key = :key ORDER BY round, actor""",
    # What the inbox shows of an effect.
    "record_items": """
SELECT kind, opened_at, due_at, note FROM tallystick_inbox WHERE key = :key ORDER BY kind""",
    # The number of the last effect, before some are inserted (SQLite).
    "last_seq": "SELECT coalesce(max(seq), 0) FROM tallystick_effect",
    # Which effects were inserted since, by the one who holds the write lock (SQLite).
    "keys_since": "SELECT key FROM tallystick_effect WHERE seq > :last",
    # Insert an effect as it was recorded elsewhere, unless its key is taken.
    "put_record": f"""
INSERT INTO tallystick_effect ({", ".join(_COLUMNS)})
VALUES ({", ".join(f":{name}" for name in _COLUMNS)}) ON CONFLICT (key) DO NOTHING""",
}

#: only the effects of one workflow
OF_WORKFLOW = " AND e.scope = :scope AND e.workflow = :workflow"
#: only what changed, or brought an event, at a moment or later
SINCE = """
   AND (e.changed_at >= :since OR EXISTS (
        SELECT 1 FROM tallystick_event c
         WHERE c.key = e.key AND c.at >= :since))"""
