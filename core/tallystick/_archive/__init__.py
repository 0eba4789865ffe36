"""Records on their way out of a ledger and into another one: values, lines, and rules."""
