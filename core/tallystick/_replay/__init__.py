"""
A run that is told from its record.

Calls are matched with what is recorded and answered from that; nothing is executed, claimed or
charged. What differs is told as a ``Divergence``.
"""
