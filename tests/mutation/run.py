"""All mutants of all stores: ``python -m tests.mutation.run [memory|sqlite|postgres|mariadb]``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.model._rigs import KINDS, Bench, fast_database, quick_folder
from tests.mutation._driver import code_mutants, hunt, sql_mutants, traces
from tests.mutation._equivalent import EQUIVALENT


def main(kinds: list[str]) -> int:
    """Print what became of each store's mutants; 1 if one survived that should not."""
    unexpected: list[str] = []
    with (
        tempfile.TemporaryDirectory() as fallback,
        quick_folder(Path(fallback)) as folder,
        fast_database() as url,
    ):
        bench = Bench(folder, url, patience=0.3)
        for kind in kinds:
            found = traces(bench, kind)
            parts = {"code": code_mutants(kind)}
            if kind != "memory":
                parts["SQL"] = sql_mutants(kind, found)
            for part, mutants in parts.items():
                began = time.monotonic()
                survivors = hunt(bench, kind, mutants, found)
                wrong = [name for name in survivors.alive if name not in EQUIVALENT]
                unexpected += wrong
                same = len(survivors.alive) - len(wrong)
                numbers = (survivors.tried, len(survivors.killers), same, len(wrong))
                line = "{:4} mutants  {:4} killed  {:3} equivalent  {:3} alive".format(*numbers)
                spent = time.monotonic() - began
                print(f"{kind:9} {part:5} {line}  {spent:6.1f} s", flush=True)
        bench.close()
    for name in unexpected:
        print(f"ALIVE {name}")
    return int(bool(unexpected))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(KINDS)))
