"""How long `import tallystick` takes in a new process, and which frameworks it drags in: none."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from tests.bench._common import ROOT, Report, options, quiet

FRAMEWORKS = ("langchain", "langchain_core", "langgraph", "crewai", "autogen_core")
SCRIPT = """
import json, sys, time
start = time.perf_counter()
import tallystick
took = time.perf_counter() - start
print(json.dumps([took, len(sys.modules), [name for name in {names} if name in sys.modules]]))
"""


def main() -> None:
    """One repetition: three new processes after one that warms the disk's cache."""
    quiet()
    asked = options()
    report = Report("ours", asked.store, ["tallystick"])
    runs: list[tuple[float, int, list[str]]] = []
    for _ in range(4):
        line = [sys.executable, "-c", SCRIPT.format(names=FRAMEWORKS)]
        answer = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append(json.loads(answer.stdout))
    report.put("import_s", statistics.median(took for took, _, _ in runs[1:]))
    report.put("import_modules", runs[-1][1])
    report.put("import_frameworks", len(runs[-1][2]))
    if runs[-1][2]:
        report.say("import_frameworks", ", ".join(runs[-1][2]))
    report.emit()


if __name__ == "__main__":
    main()
