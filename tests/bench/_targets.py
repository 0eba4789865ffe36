"""What was measured, and the figures that it is held against."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

Value = float | None


class Figures:
    """Every repetition's line, asked for by subject, store and name."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.failures: dict[tuple[str, str], str] = {}

    def add(self, line: dict[str, Any]) -> None:
        """Keep a repetition."""
        self.lines.append(line)

    def fail(self, subject: str, store: str, reason: str) -> None:
        """Keep why there is none."""
        self.failures[subject, store] = reason

    def all(self, subject: str, store: str, name: str) -> list[float]:
        """One figure of every repetition that has it."""
        lines = [
            line for line in self.lines if (line["subject"], line["store"]) == (subject, store)
        ]
        return [line["metrics"][name] for line in lines if name in line["metrics"]]

    def median(self, subject: str, store: str, name: str) -> Value:
        """The median of all repetitions, or none."""
        found = self.all(subject, store, name)
        return statistics.median(found) if found else None

    def notes(self, subject: str, store: str) -> dict[str, str]:
        """What the subject has to say about its figures."""
        notes: dict[str, str] = {}
        for line in self.lines:
            if (line["subject"], line["store"]) == (subject, store):
                notes |= line["notes"]
        return notes

    def versions(self) -> dict[str, str]:
        """The packages that took part."""
        found: dict[str, str] = {}
        for line in self.lines:
            found |= line["versions"]
        return dict(sorted(found.items()))


def number(value: Value) -> str:
    """Three figures, or a dash."""
    if value is None:
        return "–"
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that was promised."""

    what: str
    store: str
    name: str
    limit: float
    unit: str = ""
    at_least: bool = False
    worst: bool = False  # judged by the worst repetition instead of the median
    over: tuple[str, str, str] | None = None  # a ratio to this figure

    def values(self, figures: Figures) -> list[float]:
        """The figure in every repetition; a ratio is one of medians."""
        mine = figures.all("ours", self.store, self.name)
        if self.over is None or not mine:
            return mine
        other = figures.median(*self.over)
        return [value / other for value in mine] if other else []

    def value(self, figures: Figures) -> Value:
        """What is compared with the limit."""
        found = self.values(figures)
        if not found:
            return None
        return max(found) if self.worst else statistics.median(found)

    def reached(self, figures: Figures) -> bool | None:
        """Whether it holds; none when it was not measured."""
        value = self.value(figures)
        if value is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit

    def row(self, figures: Figures) -> str:
        """A line of the table."""
        found, value = self.values(figures), self.value(figures)
        sign = "≥" if self.at_least else "≤"
        verdict = {True: "reached", False: "**not reached**", None: "not measured"}
        if value is None:
            shown = "–"
        else:
            spread = f" ({number(min(found))} … {number(max(found))})" if len(found) > 1 else ""
            shown = f"{number(value)}{self.unit}{spread}"
        goal = f"{sign} {number(self.limit)}{self.unit}"
        return f"| {self.what} | {shown} | {goal} | {verdict[self.reached(figures)]} |"


def _waking(store: str) -> tuple[Target, ...]:
    word = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[store]
    return (
        Target(f"{word}: 500 identical calls of a 0.2 s tool", store, "herd_wall_s", 0.30, " s"),
        Target(f"{word}: … how often the tool ran", store, "herd_runs", 1, worst=True),
        Target(f"{word}: … callers that got an error", store, "herd_errors", 0, worst=True),
        Target(f"{word}: follower in another process, median", store, "follower_p50_ms", 20, " ms"),
        Target(f"{word}: follower in another process, p95", store, "follower_p95_ms", 50, " ms"),
        Target(f"{word}: approval by another process, median", store, "approval_p50_ms", 20, " ms"),
        Target(f"{word}: approval by another process, p95", store, "approval_p95_ms", 50, " ms"),
    )


LITE, PG = "sqlite", "postgres"
TARGETS = (
    Target("SQLite: fresh, one caller, to the floor", LITE, "fresh_ratio", 1.35, " ×"),
    Target("SQLite: replay", LITE, "replay_ms", 0.05, " ms"),
    Target(
        "SQLite: 100 concurrent fresh, to one transaction per call",
        LITE,
        "conc100_ratio",
        10,
        " ×",
        at_least=True,
    ),
    Target(
        "SQLite: 8 processes on one file, worst call",
        LITE,
        "eight_worst_ms",
        100,
        " ms",
        worst=True,
    ),
    *_waking(LITE),
    Target("PostgreSQL: fresh, one caller, to the floor", PG, "fresh_ratio", 1.35, " ×"),
    Target("PostgreSQL: statements of a fresh effect", PG, "fresh_statements", 2),
    Target("PostgreSQL: replay", PG, "replay_ms", 0.20, " ms"),
    Target("PostgreSQL: statements of a replay", PG, "replay_statements", 1),
    Target("PostgreSQL: WAL written by a replay", PG, "replay_wal_bytes", 0, " B"),
    Target(
        "PostgreSQL: 100 concurrent fresh, to agent-ledger",
        PG,
        "conc100_per_s",
        5,
        " ×",
        at_least=True,
        over=("agent-ledger", PG, "conc100_per_s"),
    ),
    *_waking(PG),
    Target("Python's share of a call (memory store)", "memory", "overhead_us", 25, " µs"),
    Target("`import tallystick`", "import", "import_s", 0.45, " s"),
    Target("… frameworks imported by it", "import", "import_frameworks", 0, worst=True),
    Target("A million effects: reached", "million", "effects", 1_000_000, at_least=True),
    Target("A million effects: replay, to a thousand", "million", "replay_growth", 1.5, " ×"),
    Target(
        "A million effects: process memory", "million", "memory_peak_mb", 150, " MB", worst=True
    ),
)
