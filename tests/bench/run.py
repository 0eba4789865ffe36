"""
`make bench`: ours, the floor and the peers in turn, in one run; medians, ratios and targets.

    python tests/bench/run.py                      everything, five repetitions: RESULTS.md
    python tests/bench/run.py --quick              one short repetition, printed only
    python tests/bench/run.py --only ours,floor    these only (or ours/sqlite, …), printed only
    python tests/bench/run.py --million            with the million effects, some minutes more
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import _peers, _server, report
from tests.bench._common import ROOT, tick
from tests.bench._targets import Figures


@dataclass(frozen=True, slots=True)
class Entry:
    """One subject on one store."""

    subject: str
    store: str
    script: str
    package: str = ""  # of a peer
    seconds: float = 240.0

    @property
    def name(self) -> str:
        """How `--only` calls it."""
        return f"{self.subject}/{self.store}"


PLAN = (
    Entry("ours", "import", "imports"),
    Entry("ours", "memory", "ours"),
    Entry("floor", "sqlite", "floor"),
    Entry("ours", "sqlite", "ours"),
    Entry(
        "agent-runtime-governance",
        "sqlite",
        "peer_agent_runtime_governance",
        "agent-runtime-governance",
    ),
    Entry("DBOS", "sqlite", "peer_dbos", "dbos"),
    Entry("exactly-once", "sqlite", "peer_exactly_once", "exactly-once"),
    Entry("floor", "postgres", "floor"),
    Entry("ours", "postgres", "ours"),
    Entry("agent-ledger", "postgres", "peer_agent_ledger", "agent-ledger"),
    Entry("DBOS", "postgres", "peer_dbos", "dbos"),
    Entry("exactly-once", "postgres", "peer_exactly_once", "exactly-once"),
    Entry("idemkit", "postgres", "peer_idemkit", "idemkit"),
)
MILLION = Entry("ours", "million", "million", seconds=3600.0)


@dataclass(slots=True)
class Run:
    """One run of the rig: where it stands and what it has seen."""

    asked: argparse.Namespace
    server: str | None
    folder: Path
    missing: dict[str, str]
    figures: Figures = field(default_factory=Figures)
    started: list[int] = field(default_factory=list[int])
    loads: list[float] = field(default_factory=list[float])

    def turn(self, entry: Entry, repetition: int) -> None:
        """One repetition of one entry, in a fresh process."""
        reason = self._impossible(entry)
        if reason is not None:
            self.figures.fail(entry.subject, entry.store, reason)
            return
        start = tick()
        line, problem = self._start(entry)
        if line is None:
            self.figures.fail(entry.subject, entry.store, problem)
        else:
            self.figures.add(line)
        self.loads.append(os.getloadavg()[0])
        word = "done" if line else f"FAILED: {problem}"
        took = f"{tick() - start:5.1f} s, load {self.loads[-1]:.1f}"
        print(f"{repetition} {entry.name:32} {took}  {word}", file=sys.stderr, flush=True)

    def _impossible(self, entry: Entry) -> str | None:
        if entry.package in self.missing:
            return f"not installed: {self.missing[entry.package]}"
        if entry.store == "postgres" and self.server is None:
            return "no PostgreSQL here"
        return None

    def _start(self, entry: Entry) -> tuple[dict[str, Any] | None, str]:
        python = str(_peers.PYTHON) if entry.package else sys.executable
        line = [python, "-W", "ignore", "-m", f"tests.bench.subjects.{entry.script}"]
        line += ["--store", entry.store] + (["--quick"] if self.asked.quick else [])
        line += ["--effects", str(self.asked.effects), "--seconds", str(self.asked.seconds)]
        env = {**os.environ, "TALLYSTICK_BENCH_DIR": str(self.folder)}
        if self.server is not None:
            env["TALLYSTICK_BENCH_PG"] = self.server
        process = subprocess.Popen(
            line,
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process.pid)
        try:
            out, err = process.communicate(timeout=entry.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, f"not finished after {entry.seconds:.0f} s"
        return _answer(out, err, process.returncode)


def _answer(out: str, err: str, code: int) -> tuple[dict[str, Any] | None, str]:
    lines = out.strip().splitlines()
    if code == 0 and lines and lines[-1].startswith("{"):
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer, ""
    return None, (err.strip().splitlines() or [f"exit code {code}"])[-1][:300]


def wanted(only: str) -> list[Entry]:
    """The entries that `--only` names, by subject, by store or by both."""
    names = {name.strip() for name in only.split(",") if name.strip()}
    known = {*(e.subject for e in PLAN), *(e.store for e in PLAN), *(e.name for e in PLAN)}
    if unknown := names - known - {MILLION.name, MILLION.store}:
        raise SystemExit(f"no such subject: {', '.join(sorted(unknown))}; one of {sorted(known)}")
    return [e for e in PLAN if not names or names & {e.subject, e.store, e.name}]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="ours, the floor and the peers, in one run")
    parser.add_argument("--reps", type=int, default=5, help="repetitions of each (5)")
    parser.add_argument("--only", default="", help="subjects, stores, or subject/store")
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument("--million", action="store_true", help="a million effects as well")
    parser.add_argument("--effects", type=int, default=1_000_000, help="how many for --million")
    parser.add_argument("--seconds", type=float, default=900.0, help="at most, for --million")
    parser.add_argument("--out", type=Path, help="RESULTS.md, for a whole run")
    parser.add_argument("--json", type=Path, help="keep the figures of every repetition here")
    parser.add_argument("--strict", action="store_true", help="fail when a target is not reached")
    return parser.parse_args(argv)


def measure(run: Run, plan: Sequence[Entry]) -> None:
    """All repetitions in turn; every other one in reverse, so that nobody always goes first."""
    reps = 1 if run.asked.quick else run.asked.reps
    for repetition in range(1, reps + 1):
        for entry in plan if repetition % 2 else reversed(plan):
            run.turn(entry, repetition)
    if run.asked.million:
        run.turn(MILLION, 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write RESULTS.md where everything was measured."""
    asked = arguments(argv)
    whole = not asked.only and not asked.quick
    out: Path | None = asked.out or (Path(__file__).with_name("RESULTS.md") if whole else None)
    plan = wanted(asked.only)
    before = os.getloadavg()[0]
    missing = _peers.prepare() if any(entry.package for entry in plan) else {}
    with ExitStack() as stack:
        server = stack.enter_context(_server.postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallystick-bench-")))
        run = Run(asked, server, folder, missing)
        facts = _server.describe_machine(folder)
        facts.append(("database", _server.describe_postgres(server)))
        measure(run, plan)
        if server is not None:
            _server.sweep(server, run.started)
    during = f"{min(run.loads):.1f} to {max(run.loads):.1f} during it"
    facts.append(("load average", f"{before:.1f} before the run, {during}"))
    command = " ".join(["python tests/bench/run.py", *(argv if argv is not None else sys.argv[1:])])
    facts.append(("command", f"`{command}`, finished {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"))
    text = report.markdown(run.figures, facts, busy=before > 0.4 * (os.cpu_count() or 1))
    print(text)
    if out is not None:
        out.write_text(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps(run.figures.lines, indent=1))
    return int(asked.strict and not report.all_reached(run.figures))


if __name__ == "__main__":
    sys.exit(main())
