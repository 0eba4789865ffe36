"""The protocols, each written once, against ports only: no I/O, no clock, no SQL."""
