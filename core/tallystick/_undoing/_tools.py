"""Effects of the ledger's own about runs and undoing: no tool of a user may be called so."""

from __future__ import annotations

#: a run itself; its arguments are its input, its result is its output
RUN = "tallystick.run"
#: one round of compensating a workflow
COMPENSATE = "tallystick.compensate"
#: a place in a run that can be gone back to
SAVEPOINT = "tallystick.savepoint"
#: a containment; its arguments say of what, its result is its report
CONTAIN = "tallystick.contain"
#: what a dead process leaves is not in doubt: whoever comes next goes on with it
RESUMABLE = (RUN, COMPENSATE, SAVEPOINT, CONTAIN)
#: hold nothing that a call was given, and are needed for as long as anything can be undone
MARKS = (COMPENSATE, SAVEPOINT)
#: what begins like this is the ledger's own
PREFIX = "tallystick."
