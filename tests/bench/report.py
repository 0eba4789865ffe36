"""RESULTS.md: each target with reached or not reached beside it, then all subjects side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench._targets import LITE, PG, TARGETS, Figures, number


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the side-by-side tables."""

    title: str
    cell: Callable[[Figures, str, str], str]
    explains: tuple[str, ...] = ()


def _plain(name: str) -> Callable[[Figures, str, str], str]:
    return lambda figures, subject, store: number(figures.median(subject, store, name))


def _pair(first: str, second: str) -> Callable[[Figures, str, str], str]:
    def cell(figures: Figures, subject: str, store: str) -> str:
        one, two = (figures.median(subject, store, name) for name in (first, second))
        return "–" if one is None else f"{number(one)} / {number(two)}"

    return cell


def _to_floor(figures: Figures, subject: str, store: str) -> str:
    mine = figures.median(subject, store, "fresh_ms")
    floor = figures.median("floor", store, "fresh_ms")
    return "–" if mine is None or floor is None else f"{mine / floor:.2f}"


def _herd(figures: Figures, subject: str, store: str) -> str:
    wall = figures.median(subject, store, "herd_wall_s")
    errors = figures.median(subject, store, "herd_errors")
    if wall is None:
        return "–"
    return f"{errors:.0f} refused" if errors else f"{number(wall)}"


COLUMNS = (
    Column("fresh ms", _plain("fresh_ms"), ("fresh_ms",)),
    Column("× floor", _to_floor),
    Column("replay ms", _plain("replay_ms"), ("replay_ms",)),
    Column("100 concurrent /s", _plain("conc100_per_s"), ("conc100_per_s",)),
    Column("500 identical s", _herd, ("herd_wall_s",)),
    Column(
        "follower p50 / p95 ms", _pair("follower_p50_ms", "follower_p95_ms"), ("follower_p50_ms",)
    ),
    Column(
        "approval p50 / p95 ms", _pair("approval_p50_ms", "approval_p95_ms"), ("approval_p50_ms",)
    ),
)
PG_COLUMNS = (
    Column("statements fresh / replay", _pair("fresh_statements", "replay_statements")),
    Column("round trips", _pair("fresh_trips", "replay_trips")),
    Column("WAL B per replay", _plain("replay_wal_bytes"), ("replay_wal_bytes",)),
)
SUBJECTS = (
    "floor",
    "ours",
    "agent-ledger",
    "agent-runtime-governance",
    "DBOS",
    "exactly-once",
    "idemkit",
)
NO_STORE = {
    ("agent-ledger", LITE): "has no SQLite store",
    ("idemkit", LITE): "has no SQLite store",
    ("agent-runtime-governance", PG): "has no PostgreSQL store",
}
OURS_TOO = (
    ("sqlite", "afresh_ms", "fresh on the awaited face, ms"),
    ("sqlite", "areplay_ms", "replay on the awaited face, ms"),
    ("sqlite", "fresh_p99_ms", "fresh p99, ms"),
    (
        "sqlite",
        "conc100_warm_ratio",
        "100 concurrent, to 100 bare effects one after the other right afterwards, ×",
    ),
    (
        "sqlite",
        "conc100_in_turn_ratio",
        "100 concurrent, to 100 threads taking turns on one bare connection, ×",
    ),
    ("sqlite", "conc100_threads_per_s", "100 concurrent threads, per s"),
    ("sqlite", "eight_ms", "8 processes on one file, median call, ms"),
    ("postgres", "afresh_ms", "fresh on the awaited face, ms"),
    ("postgres", "areplay_ms", "replay on the awaited face, ms"),
    ("postgres", "afresh_statements", "statements of a fresh effect, awaited face"),
    ("postgres", "areplay_statements", "statements of a replay, awaited face"),
    ("postgres", "fresh_p99_ms", "fresh p99, ms"),
    ("postgres", "conc100_threads_per_s", "100 concurrent threads, per s"),
    ("memory", "overhead_replay_us", "Python's share of a replay, µs"),
    ("memory", "aoverhead_us", "Python's share of an awaited call, µs"),
    ("memory", "conc100_per_s", "100 concurrent, per s"),
    ("memory", "herd_wall_s", "500 identical calls of a 0.2 s tool, s"),
    ("import", "import_modules", "modules in `sys.modules` afterwards"),
    ("million", "fill_per_s", "effects per second while filling, 500 at once"),
    ("million", "replay_1000_ms", "replay at a thousand effects, ms"),
    ("million", "replay_million_ms", "replay at the end, ms"),
    ("million", "memory_start_mb", "process memory at a thousand effects, MB"),
    ("million", "memory_growth_mb", "… and its growth until the end, MB"),
    ("million", "bytes_per_effect", "bytes of file per effect"),
)
FLOORS = (
    (
        "sqlite",
        "fresh_normal_ms",
        "fresh with `synchronous=NORMAL`, which survives no power cut, ms",
    ),
    ("sqlite", "conc100_shared_per_s", "100 threads taking turns on one connection, per s"),
    ("sqlite", "conc100_own_per_s", "16 threads with connections of their own, per s"),
    ("sqlite", "eight_worst_ms", "8 processes with the busy handler, worst call, ms"),
)


def all_reached(figures: Figures) -> bool:
    """Whether no target that was measured was missed."""
    return all(target.reached(figures) is not False for target in TARGETS)


BUSY = "**The machine was busy before the run began: these figures are not to be quoted.**"


def markdown(figures: Figures, facts: Sequence[tuple[str, str]], *, busy: bool = False) -> str:
    """The whole page."""
    verdicts = [target.reached(figures) for target in TARGETS]
    measured = [verdict for verdict in verdicts if verdict is not None]
    lines = ["# What it costs", ""]
    lines += ["Written by `make bench`; do not edit. Medians over the repetitions, with the"]
    lines += [
        "smallest and the largest; subjects take turns, each repetition is a new process.",
        "",
    ]
    lines += [BUSY, ""] if busy else []
    lines += ["| machine | |", "|---|---|"]
    lines += [f"| {name} | {fact} |" for name, fact in facts]
    versions = ", ".join(f"{name} {release}" for name, release in figures.versions().items())
    lines += [f"| versions | {versions} |", ""]
    lines += [f"## Targets: {sum(measured)} of {len(measured)} reached", ""]
    lines += ["| | figure | target | |", "|---|---|---|---|"]
    lines += [target.row(figures) for target in TARGETS]
    for store, title in ((LITE, "SQLite"), (PG, "PostgreSQL")):
        lines += ["", f"## Side by side: {title}", "", *_table(figures, store)]
    lines += ["", "## More of ours, and of the floor", "", "| | store | figure |", "|---|---|---|"]
    lines += _more(figures, "ours", OURS_TOO) + _more(figures, "floor", FLOORS)
    return "\n".join([*lines, "", *READING, ""])


def _more(figures: Figures, subject: str, rows: Sequence[tuple[str, str, str]]) -> list[str]:
    return [
        f"| {subject}: {words} | {store} | {number(figures.median(subject, store, name))} |"
        for store, name, words in rows
        if figures.all(subject, store, name)
    ]


def _table(figures: Figures, store: str) -> list[str]:
    columns = COLUMNS + (PG_COLUMNS if store == PG else ())
    lines = ["| | " + " | ".join(column.title for column in columns) + " |"]
    lines += ["|---|" + "---|" * len(columns)]
    remarks: list[str] = []
    for subject in SUBJECTS:
        reason = NO_STORE.get((subject, store)) or figures.failures.get((subject, store))
        if reason is not None:
            remarks.append(f"* {subject}: {reason}")
        if not figures.all(subject, store, "fresh_ms"):
            continue
        cells = [column.cell(figures, subject, store) for column in columns]
        lines.append(f"| {subject} | " + " | ".join(cells) + " |")
        remarks += _remarks(figures, subject, store, columns)
    return [*lines, "", *remarks]


def _remarks(figures: Figures, subject: str, store: str, columns: Sequence[Column]) -> list[str]:
    notes = figures.notes(subject, store)
    lines = [f"* {subject}: {notes['store']}"] if "store" in notes else []
    for column in columns:
        lines += [f"* {subject}, {column.title}: {notes[n]}" for n in column.explains if n in notes]
    for what in ("fresh", "replay"):
        kinds = notes.get(f"{what}_statements")
        lines += [f"* {subject}, statements of a {what}: {kinds}"] if kinds else []
    return lines


READING = (
    "## How to read it",
    "",
    "* The effect: a tool that does nothing, about 200 bytes of arguments, about 100 of result.",
    "* Floor: the same row written by the bare driver, an INSERT and an UPDATE, each its own",
    "  transaction; its 100 concurrent figure is the best of three ways to do that. For the",
    "  ratios that are judged, ours and the floor alternate on one disk within one process, 20",
    "  calls of one caller each; that floor is also the one transaction per call of the 100",
    "  concurrent. A processor that is kept awake commits faster: the same against bare effects",
    "  right after ours, and against 100 threads sharing a bare connection, is listed as well.",
    "* Replay: by a second instance that has not seen the effects. 100 concurrent: rounds of a",
    "  hundred awaited calls. Follower: from the tool's last line in one process to the answer in",
    "  another. Approval: from the call of `approve` in one process to the tool's first line in",
    "  another. Twenty of each per repetition, 37 ms apart.",
    "* Statements are counted on the wire, BEGIN and COMMIT included, one call at a time. WAL: of",
    "  the twentieth quietest of up to four hundred replays, because the server may be shared.",
    "* Peers run in an environment of their own, from `peers.txt`, with their documented defaults.",
)
