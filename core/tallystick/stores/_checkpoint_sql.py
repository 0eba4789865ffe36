"""The SQL of checkpoints, each statement with a name and a sentence; see ``_sql`` for the words."""

from __future__ import annotations

from tallystick._checkpoints import Saved, Written

_SAVED = ", ".join(f"c.{name}" for name in Saved._fields)
_OWN = ", ".join(Saved._fields)
_WRITTEN = ", ".join(f"w.{name}" for name in Written._fields)
_AGAIN = ", ".join(
    f"{name} = excluded.{name}" for name in Saved._fields if name not in ("thread", "ns", "id")
)

#: the thread of the row ``{w}`` was deleted after ``{since}``
BURIED = """EXISTS (SELECT 1 FROM tallystick_tombstone gone
       WHERE gone.thread = {w}thread AND gone.through >= {since})"""

#: a write that takes the place of another
_INSTEAD = """DO UPDATE
   SET channel = excluded.channel, path = excluded.path, kind = excluded.kind,
       data = excluded.data"""

CHECKPOINT_STATEMENTS = {
    # Keep a checkpoint, or replace it.
    "put_checkpoint": f"""
INSERT INTO tallystick_checkpoint ({_OWN})
VALUES ({", ".join(f":{name}" for name in Saved._fields)})
    ON CONFLICT (thread, ns, id) DO UPDATE SET {_AGAIN}""",
    # Whether a thread was deleted after a checkpoint.
    "buried": f"SELECT {BURIED.format(w=':', since=':since')}",
    # Whether a checkpoint is there, and stays until the transaction ends.
    "standing": """
SELECT 1 FROM tallystick_checkpoint c
 WHERE c.thread = :thread AND c.ns = :ns AND c.id = :id{share}""",
    # Keep a piece of a value; one that is there already is not for others to clear away.
    "put_blob": """
INSERT INTO tallystick_blob (thread, id, kind, data, at) VALUES (:thread, :id, :kind, :data, {now})
    ON CONFLICT (thread, id) DO UPDATE SET at = excluded.at""",
    # Keep a write beside what is there.
    "put_write": """
INSERT INTO tallystick_write (thread, ns, checkpoint, task, idx, channel, path, kind, data)
VALUES (:thread, :ns, :checkpoint, :task, :idx, :channel, :path, :kind, :data)
    ON CONFLICT (thread, ns, checkpoint, task, idx) DO NOTHING""",
    # Keep a write instead of what is there.
    "replace_write": """
INSERT INTO tallystick_write (thread, ns, checkpoint, task, idx, channel, path, kind, data)
VALUES (:thread, :ns, :checkpoint, :task, :idx, :channel, :path, :kind, :data)
    ON CONFLICT (thread, ns, checkpoint, task, idx) """
    + _INSTEAD,
    # Read one checkpoint.
    "checkpoint": f"""
SELECT {_SAVED} FROM tallystick_checkpoint c
 WHERE c.thread = :thread AND c.ns = :ns AND c.id = :id""",
    # Read the newest checkpoint of a namespace.
    "head": f"""
SELECT {_SAVED} FROM tallystick_checkpoint c
 WHERE c.thread = :thread AND c.ns = :ns ORDER BY c.id DESC LIMIT 1""",
    # Read checkpoints, newest first.
    "checkpoints": f"""
SELECT {_SAVED} FROM tallystick_checkpoint c
 WHERE {{where}} ORDER BY c.id DESC, c.thread, c.ns LIMIT :limit""",
    # Read a checkpoint and its ancestors, or those of its turn.
    "lineage": """
WITH RECURSIVE up(id, parent, turn, metadata, depth) AS (
  SELECT c.id, c.parent, c.turn, c.metadata, 0 FROM tallystick_checkpoint c
   WHERE c.thread = :thread AND c.ns = :ns AND c.id = :id
   UNION ALL
  SELECT c.id, c.parent, c.turn, c.metadata, up.depth + 1
    FROM up JOIN tallystick_checkpoint c
      ON c.thread = :thread AND c.ns = :ns AND c.id = up.parent
   WHERE up.depth + 1 < :limit AND (NOT :bounded OR c.turn = up.turn))
SELECT id, parent, turn, metadata FROM up ORDER BY depth""",
    # Read which threads there are, in the order of the table's key.
    "threads": """
SELECT c.thread, min(c.name) FROM tallystick_checkpoint c
 WHERE c.tenant = :tenant AND c.thread > :after GROUP BY c.thread ORDER BY c.thread LIMIT :limit""",
    # Read up to which checkpoint a thread was deleted.
    "grave": "SELECT through FROM tallystick_tombstone WHERE thread = :thread",
    # Read the writes of some checkpoints; Python sorts them, byte by byte like everybody else.
    "writes": f"""
SELECT {_WRITTEN} FROM tallystick_write w
 WHERE w.thread = :thread AND w.ns = :ns AND w.checkpoint {{among}}""",
    # Read pieces of values.
    "blobs": """
SELECT b.id, b.kind, b.data FROM tallystick_blob b WHERE b.thread = :thread AND b.id {among}""",
    # Forget a checkpoint.
    "drop_checkpoint": """
DELETE FROM tallystick_checkpoint WHERE thread = :thread AND ns = :ns AND id = :id""",
    # Its children begin anew.
    "orphan": """
UPDATE tallystick_checkpoint SET parent = NULL
 WHERE thread = :thread AND ns = :ns AND parent {among}""",
    # Forget what was written for the step after it.
    "drop_writes": """
DELETE FROM tallystick_write WHERE thread = :thread AND ns = :ns AND checkpoint = :id""",
    # Forget a piece that no checkpoint names; not one that was sent again meanwhile.
    "drop_blob": """
DELETE FROM tallystick_blob WHERE thread = :thread AND id = :id AND at < :before""",
    # Forget a thread.
    "drop_thread_checkpoints": "DELETE FROM tallystick_checkpoint WHERE thread = :thread",
    "drop_thread_writes": "DELETE FROM tallystick_write WHERE thread = :thread",
    "drop_thread_blobs": "DELETE FROM tallystick_blob WHERE thread = :thread",
    # Remember that it is deleted.
    "bury_thread": """
INSERT INTO tallystick_tombstone (thread, tenant, name, through, at)
VALUES (:thread, :tenant, :name, :through, :at)
    ON CONFLICT (thread) DO UPDATE SET through = excluded.through, at = excluded.at""",
    # Somebody copied a thread to its name.
    "raise_thread": "DELETE FROM tallystick_tombstone WHERE thread = :thread",
    # Copy a thread.
    "copy_checkpoints": f"""
INSERT INTO tallystick_checkpoint ({_OWN})
SELECT :target, c.ns, c.id, c.tenant, CAST(:name AS TEXT), c.parent, c.turn, c.run, c.kind,
       c.data, c.metadata, c.vals, c.at
  FROM tallystick_checkpoint c WHERE c.thread = :thread""",
    "copy_writes": """
INSERT INTO tallystick_write (thread, ns, checkpoint, task, idx, channel, path, kind, data)
SELECT :target, w.ns, w.checkpoint, w.task, w.idx, w.channel, w.path, w.kind, w.data
  FROM tallystick_write w WHERE w.thread = :thread""",
    "copy_blobs": """
INSERT INTO tallystick_blob (thread, id, kind, data, at)
SELECT :target, b.id, b.kind, b.data, b.at FROM tallystick_blob b WHERE b.thread = :thread""",
}

#: Keep many checkpoints and their blobs in one statement (PostgreSQL).
PUT_MANY = f"""
WITH want AS ({{want}}),
held AS (
  SELECT c.thread, c.ns, c.id FROM want w
    JOIN tallystick_checkpoint c ON c.thread = w.thread AND c.ns = w.ns AND c.id = w.needs
   FOR KEY SHARE OF c),
piece AS (
  INSERT INTO tallystick_blob (thread, id, kind, data, at)
  SELECT b.thread, b.id, b.kind, b.data, {{now}} FROM ({{pieces}}) b
   WHERE NOT {BURIED.format(w="b.", since="b.since")}
   ORDER BY b.thread, b.id
      ON CONFLICT (thread, id) DO UPDATE SET at = excluded.at
)
INSERT INTO tallystick_checkpoint ({_OWN})
SELECT w.thread, w.ns, w.id, w.tenant, w.name, w.parent, w.turn, w.run, w.kind, w.data,
       w.metadata, w.vals, {{now}}
  FROM want w
 WHERE NOT {BURIED.format(w="w.", since="w.since")}
   AND (w.needs IS NULL OR EXISTS (
         SELECT 1 FROM held h WHERE h.thread = w.thread AND h.ns = w.ns AND h.id = w.needs))
 ORDER BY w.thread, w.ns, w.id
    ON CONFLICT (thread, ns, id) DO UPDATE SET {_AGAIN}
RETURNING thread, ns, id"""

_PUT_WRITES = f"""
INSERT INTO tallystick_write (thread, ns, checkpoint, task, idx, channel, path, kind, data)
SELECT w.thread, w.ns, w.checkpoint, w.task, w.idx, w.channel, w.path, w.kind, w.data
  FROM ({{want}}) w
 WHERE NOT {BURIED.format(w="w.", since="w.checkpoint")}
 ORDER BY w.thread, w.ns, w.checkpoint, w.task, w.idx
    ON CONFLICT (thread, ns, checkpoint, task, idx) """

#: Keep many writes beside what is there (PostgreSQL).
PUT_WRITES_MANY = _PUT_WRITES + "DO NOTHING"
#: Keep many writes instead of what is there (PostgreSQL).
REPLACE_WRITES_MANY = _PUT_WRITES + _INSTEAD

SAVED_FIELDS = {
    **{name: "str" for name in Saved._fields if name != "at"},
    "thread": "bytes",
    "data": "bytes",
    "needs": "str",
    "since": "str",
}
PIECE_FIELDS = {"thread": "bytes", "id": "bytes", "kind": "str", "data": "bytes", "since": "str"}
WRITTEN_FIELDS = {
    **dict.fromkeys(Written._fields, "str"),
    "idx": "int",
    "data": "bytes",
    "thread": "bytes",
}
