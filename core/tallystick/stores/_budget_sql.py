"""The SQL of budgets, each statement with a name and a sentence; see ``_sql`` for the words."""

from __future__ import annotations

from tallystick._budgets._acts import Alert, Reservation

_RESERVATION = ", ".join(f"r.{name}" for name in Reservation._fields)
_NEW = [name for name in Reservation._fields if name != "seq"]
_ALERT = ", ".join(f"a.{name}" for name in Alert._fields)

#: the standing budgets of ``{e}tenant`` are still those that the caller knows
KNOWN = """coalesce((SELECT s.version FROM tallystick_standing s
       WHERE s.tenant = {e}tenant), 0) = {e}standing"""

BUDGET_STATEMENTS = {
    # -- terms --------------------------------------------------------------------------------
    # Which version of the standing budgets is in force.
    "standing_version": "SELECT version FROM tallystick_standing WHERE tenant = :tenant",
    # From now on another one is, for all who begin later.
    "bump": """
INSERT INTO tallystick_standing (tenant, version) VALUES (:tenant, 1)
    ON CONFLICT (tenant) DO UPDATE SET version = tallystick_standing.version + 1""",
    # Declare a budget, or declare it anew.
    "put_terms": """
INSERT INTO tallystick_budget (id, tenant, name, terms, standing, version, actor, created_at,
       changed_at)
VALUES (:id, :tenant, :name, :terms, :is_standing, 1, :actor, {now}, {now})
    ON CONFLICT (id) DO UPDATE
   SET terms = excluded.terms, standing = excluded.standing, actor = excluded.actor,
       version = tallystick_budget.version + 1, changed_at = excluded.changed_at""",
    # Read one budget and keep others from declaring it until the transaction ends.
    "terms_of": """
SELECT b.id, b.version, b.terms FROM tallystick_budget b WHERE b.id = :id{lock}""",
    # Read budgets by name.
    "terms": """
SELECT b.id, b.version, b.terms FROM tallystick_budget b
 WHERE b.tenant = :tenant AND (NOT :only_standing OR b.standing) ORDER BY b.name""",
    # -- lines --------------------------------------------------------------------------------
    # Let nobody else charge these lines until the transaction ends (PostgreSQL).
    "lock_lines": """
SELECT l.id FROM tallystick_line l
  JOIN unnest(CAST(:lines AS bytea[])) AS w(id) ON w.id = l.id ORDER BY l.id FOR UPDATE OF l""",
    # Begin a line.
    "put_line": """
INSERT INTO tallystick_line (id, budget, metric, label, raised)
VALUES (:id, :budget, :metric, :label, 0) ON CONFLICT (id) DO NOTHING""",
    # Read a line, the versions of its budget and of the standing ones, and its window.
    "line": """
SELECT b.version, b.tenant,
       coalesce((SELECT s.version FROM tallystick_standing s WHERE s.tenant = b.tenant), 0),
       l.raised, u.start, u.reserved, u.spent, u.unreconciled, u.raised, u.cap, u.over,
       u.told
  FROM tallystick_line l JOIN tallystick_budget b ON b.id = l.budget
  LEFT JOIN tallystick_use u ON u.line = l.id AND u.start >= :since
 WHERE l.id = :line""",
    # Read what is charged to each row of a tenant's lines.
    "books": """
SELECT u.line, u.start, u.reserved, u.spent, u.unreconciled
  FROM tallystick_use u JOIN tallystick_line l ON l.id = u.line
  JOIN tallystick_budget b ON b.id = l.budget WHERE b.tenant = :tenant""",
    # Read one row of a line.
    "use": """
SELECT u.start, u.reserved, u.spent, u.unreconciled, u.raised, u.cap, u.over, u.told
  FROM tallystick_use u WHERE u.line = :line AND u.start = :start""",
    # What a line is of.
    "about": """
SELECT b.id, b.version, b.terms, l.metric, l.label
  FROM tallystick_line l JOIN tallystick_budget b ON b.id = l.budget WHERE l.id = :line""",
    # Write what is charged to a line; the table's own checks refuse what does not fit.
    "put_use": """
INSERT INTO tallystick_use (line, start, reserved, spent, unreconciled, raised, cap, over, told)
VALUES (:line, :start, :reserved, :spent, :unreconciled, :raised, :cap, :over, :told)
    ON CONFLICT (line, start) DO UPDATE
   SET reserved = excluded.reserved, spent = excluded.spent,
       unreconciled = excluded.unreconciled, raised = excluded.raised, cap = excluded.cap,
       over = excluded.over, told = excluded.told""",
    # Raise a line for good.
    "raise_line": "UPDATE tallystick_line SET raised = raised + :amount WHERE id = :line",
    # Remember who raised what; once.
    "put_raise": """
INSERT INTO tallystick_raise (id, line, amount, start, actor, reason, at)
VALUES (:id, :line, :amount, :start, :actor, :reason, {now}) ON CONFLICT (id) DO NOTHING""",
    # All lines of a budget.
    "lines_of": """
SELECT l.id, l.metric, l.label FROM tallystick_line l WHERE l.budget = :budget
 ORDER BY l.metric, l.label""",
    # -- reservations -------------------------------------------------------------------------
    # Reserve, unless it was done before.
    "put_reservation": f"""
INSERT INTO tallystick_reservation ({", ".join(_NEW)})
VALUES ({", ".join(f":{name}" for name in _NEW)}) ON CONFLICT (id) DO NOTHING""",
    # Read a reservation and keep others from changing it until the transaction ends.
    "reservation": f"""
SELECT {_RESERVATION} FROM tallystick_reservation r WHERE r.id = :id{{lock}}""",
    # What became of it.
    "set_reservation": """
UPDATE tallystick_reservation
   SET state = :state, holder = :holder, nonce = :nonce, until = :until, parts = :parts,
       what = :what, bound = :bound, cost = :cost, tokens = :tokens, usage = :usage,
       price = :price, answer = :answer, note = :note, settled_at = :settled_at
 WHERE id = :id AND state = :was""",
    # What a worker left held, and what is past its time.
    "abandoned": f"""
SELECT {_RESERVATION} FROM tallystick_reservation r
 WHERE r.state = 'held' AND (r.holder = :holder OR r.until <= {{now}})
 ORDER BY r.id LIMIT :limit""",
    # Whether there is any such.
    "overdue": """
SELECT 1 FROM tallystick_reservation r WHERE r.state = 'held' AND r.until <= {now} LIMIT 1""",
    # Read reservations.
    "reservations": f"""
SELECT {_RESERVATION} FROM tallystick_reservation r
 WHERE r.tenant = :tenant{{where}} LIMIT :limit""",
    # Add up what was spent.
    "costs": """
SELECT {by} AS what, r.kind, count(*), sum(coalesce(r.cost, 0)), sum(coalesce(r.tokens, 0)),
       sum(CASE WHEN r.kind = 'model' AND r.cost IS NULL THEN 1 ELSE 0 END),
       sum(CASE WHEN r.state IN ('held', 'unreconciled') AND r.bound > coalesce(r.cost, 0)
                THEN r.bound - coalesce(r.cost, 0) ELSE 0 END)
  FROM tallystick_reservation r
 WHERE r.tenant = :tenant AND r.state <> 'released'{where}
 GROUP BY 1, 2 ORDER BY 4 DESC, 1""",
    # -- sessions -----------------------------------------------------------------------------
    # Count what a session used; how many calls it has made.
    "count_session": """
INSERT INTO tallystick_session (id, tenant, name, calls, tokens, nanos)
VALUES (:id, :tenant, :name, :calls, :tokens, :nanos)
    ON CONFLICT (id) DO UPDATE
   SET calls = tallystick_session.calls + :calls, tokens = tallystick_session.tokens + :tokens,
       nanos = tallystick_session.nanos + :nanos
RETURNING calls""",
    # What a session has used.
    "session": "SELECT calls, tokens, nanos FROM tallystick_session WHERE id = :id",
    # -- alerts -------------------------------------------------------------------------------
    # Remember that somebody should hear of something; once.
    "put_alert": """
INSERT INTO tallystick_alert (id, tenant, kind, subject, detail, at, told)
VALUES (:id, :tenant, :kind, :subject, :detail, {now}, false) ON CONFLICT (id) DO NOTHING""",
    # Somebody heard of it.
    "told": "UPDATE tallystick_alert SET told = true WHERE id = :id",
    # Read alerts, oldest first.
    "alerts": f"""
SELECT {_ALERT} FROM tallystick_alert a
 WHERE a.tenant = :tenant AND NOT (:untold AND a.told) ORDER BY a.at, a.id LIMIT :limit""",
}

#: what may change about a reservation
CHANGING = (
    "state", "holder", "nonce", "until", "parts", "what", "bound", "cost", "tokens", "usage",
    "price", "answer", "note", "settled_at",
)  # fmt: skip

#: the statements of every model call, and the order in which their values are given
STRAIGHT = {
    "line": ("line", "since"),
    "use": ("line", "start"),
    "put_use": (
        "line", "start", "reserved", "spent", "unreconciled", "raised", "cap", "over", "told",
    ),
    "put_reservation": tuple(_NEW),
    "reservation": ("id",),
    "set_reservation": ("id", "was", *CHANGING),
    "count_session": ("id", "tenant", "name", "calls", "tokens", "nanos"),
}  # fmt: skip

#: what a report can be split by
BY = {
    # of that kind alone
    "model": "r.what",
    "tool": "r.what",
    "what": "r.what",
    "provider": "r.provider",
    "workflow": "r.workflow",
    "session": "r.session",
    # days of UTC, as their number since 1970
    "day": "r.created_at / 86400000000",
}
