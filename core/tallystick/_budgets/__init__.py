"""
Budgets, decided without touching anything.

A budget is a set of *limits* over a *window*; where it is split (``per=…``) each value has a *line*
of its own. Whatever wants to spend reserves an upper bound in every line that concerns it, all or
none, before it begins; afterwards the reservation is settled with what was really spent, released
if certainly nothing was, or stays charged as *unreconciled* if nobody knows.
"""
