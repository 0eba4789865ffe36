"""What is bound to a ledger is no configuration."""

from __future__ import annotations

from typing import NoReturn

from tallystick.errors import InvalidCall


class Bound:
    """A component that refuses to be dumped: what is loaded again would have lost its ledger."""

    def dump_component(self) -> NoReturn:
        """Always raises InvalidCall: a ledger cannot be written into a configuration."""
        raise InvalidCall(
            f"a {type(self).__name__} cannot be dumped: loaded again it would act without its "
            "ledger. Dump the component that it wraps, and wrap what you load"
        )

    def _to_config(self) -> NoReturn:
        self.dump_component()
