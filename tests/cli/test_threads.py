"""prune, threads import."""

from __future__ import annotations

import operator
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command, interrupt
from typer import BadParameter

from tallystick.cli._options import duration
from tallystick_checkpoint import LedgerSaver


class Log(TypedDict):
    """A state that grows."""

    log: Annotated[list[str], operator.add]


def graph(saver: Any) -> Any:
    """A graph that asks."""

    def ask(state: Log) -> dict[str, Any]:
        return {"log": [f"told {interrupt('well?')}"]}

    made: Any = StateGraph(Log)
    made.add_node("ask", ask)
    made.add_edge(START, "ask")
    return made.compile(checkpointer=saver)


def at(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def talk(saver: Any, *threads: str) -> None:
    """Two turns in each thread; the second is at a question."""
    agent = graph(saver)
    for thread in threads:
        agent.invoke({"log": ["one"]}, at(thread))
        agent.invoke(Command(resume="yes"), at(thread))
        agent.invoke({"log": ["two"]}, at(thread))


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """The file of a SqliteSaver."""
    path = tmp_path / "stock.db"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        talk(saver, "ann", "bob\x1b[2J")
    return path


# -- prune -----------------------------------------------------------------------------------------


def test_old_checkpoints_go_and_every_thread_goes_on(office: Any) -> None:
    saver = LedgerSaver(office.ledger)
    talk(saver, "ann", "bob")
    said = office.run("prune", "--keep", "2")
    assert said.out == "2 threads: 6 checkpoints went, 4 stay.\n"
    assert office.run("prune", "--keep", "2").out == "2 threads: 0 checkpoints went, 4 stay.\n"
    assert graph(saver).invoke(Command(resume="no"), at("ann"))["log"][-1] == "told no"


def test_the_rule_may_be_age_or_count_or_both(office: Any) -> None:
    saver = LedgerSaver(office.ledger)
    talk(saver, "ann")
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("UPDATE tallystick_checkpoint SET at = at - 3600000000")
    assert office.run("prune", "--older-than", "90m", "--json").json["dropped"] == 0
    assert office.run("prune", "--older-than", "45m", "--keep", "9", "--json").json["dropped"] == 0
    assert office.run("prune", "--older-than", "45m", "--keep", "3", "--json").json["dropped"] == 2
    assert office.run("prune", "--older-than", "45m").out == (
        "1 thread: 2 checkpoints went, 1 stay.\n"
    )


def test_named_threads_are_told_one_by_one(office: Any) -> None:
    talk(LedgerSaver(office.ledger), "ann", "bob", "eve")
    args = ("prune", "--keep", "1", "--thread", "ann", "--thread", "bob")
    would = office.run(*args, "--dry-run").out
    assert "would go" in would
    assert office.run(*args, "--dry-run", "--json").json == {
        "dry_run": True,
        "threads": 2,
        "dropped": 8,
        "kept": 2,
        "by_thread": [
            {"thread": "ann", "dropped": 4, "kept": 1},
            {"thread": "bob", "dropped": 4, "kept": 1},
        ],
    }
    assert office.run(*args, "--json").json["dropped"] == 8
    assert office.run("prune", "--keep", "1", "--json").json["dropped"] == 4
    assert office.run("prune", "--keep", "1", "--json").json["by_thread"] == []


def test_a_rule_is_needed(office: Any) -> None:
    said = office.run("prune", code=2)
    assert "nothing says what to keep" in said.err
    assert "--older-than 30d" in said.err
    assert "at least 1" in office.run("prune", "--keep", "0", code=2).err
    assert "write it like 30d" in office.run("prune", "--older-than", "soon", code=2).err
    assert office.run("prune", "--json", code=2).json["error"]["kind"] == "InvalidCall"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30d", timedelta(days=30)),
        (" 12h", timedelta(hours=12)),
        ("45m", timedelta(minutes=45)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_time_is_a_number_and_a_letter(text: str, found: timedelta) -> None:
    assert duration(text) == found


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1y", "9999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="write it like 30d"):
        duration(text)


# -- threads import --------------------------------------------------------------------------------


def test_threads_are_imported_compared_and_resumed(office: Any, stock: Path) -> None:
    said = office.run("threads", "import", str(stock))
    assert "10 checkpoints read back: as in the source." in said.out
    assert "\x1b" not in said.out
    agent = graph(LedgerSaver(office.ledger))
    assert agent.invoke(Command(resume="no"), at("ann"))["log"] == [
        "one", "told yes", "two", "told no",
    ]  # fmt: skip


def test_the_answer_is_one_json_document(office: Any, stock: Path) -> None:
    url = f"sqlite:///{stock}"
    dry = office.run("threads", "import", url, "--thread", "ann", "--dry-run", "--json").json
    thread = {"thread": "ann", "outcome": "copied", "checkpoints": 5, "added": 5, "why": ""}
    assert dry == {
        "dry_run": True, "complete": True, "added": 5, "verified": 0, "threads": [thread],
    }  # fmt: skip
    found = office.run("threads", "import", url, "--thread", "ann", "--json").json
    assert found == {**dry, "dry_run": False, "verified": 5}
    again = office.run("threads", "import", url, "--thread", "ann", "--json").json
    assert (again["added"], again["verified"]) == (0, 5)
    assert again["threads"][0]["outcome"] == "unchanged"


def test_what_is_left_as_it_is_is_told(office: Any, stock: Path) -> None:
    """The exit code says so, and the others are imported."""
    office.run("threads", "import", str(stock), "--thread", "ann")
    graph(LedgerSaver(office.ledger)).invoke(Command(resume="no"), at("ann"))
    said = office.run("threads", "import", str(stock), code=1)
    assert "refused" in said.out
    assert "has gone on in the ledger" in said.out
    assert "2 threads: 1 copied, 1 refused." in said.out
    LedgerSaver(office.ledger).delete_thread("ann")
    assert "stays so" in office.run("threads", "import", str(stock), code=1).out
    found = office.run("threads", "import", str(stock), "--thread", "eve", "--json", code=1).json
    assert (found["complete"], found["threads"][0]["outcome"]) == (False, "missing")


def test_a_dry_run_says_that_nothing_was_written(office: Any, stock: Path) -> None:
    said = office.run("threads", "import", str(stock), "--dry-run")
    assert "2 threads: 2 to copy." in said.out
    assert said.out.endswith("Nothing was written.\n")
    assert "nothing to import" not in said.out
    assert LedgerSaver(office.ledger).get_tuple(at("ann")) is None


def test_a_source_that_is_none_is_told(office: Any, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.db"
    assert (
        f"there is no file {missing}" in office.run("threads", "import", str(missing), code=2).err
    )
    assert not missing.exists()
    assert "holds no checkpoints" in office.run("threads", "import", str(office.path), code=2).err


@pytest.mark.parametrize(
    ("source", "hidden", "install"),
    [
        ("stock.db", "langgraph.checkpoint.sqlite", "pip install langgraph-checkpoint-sqlite"),
        (
            "postgresql://127.0.0.1:1/x",
            "langgraph.checkpoint.postgres",
            "pip install langgraph-checkpoint-postgres",
        ),
    ],
)
def test_a_missing_package_is_named(
    office: Any,
    stock: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    hidden: str,
    install: str,
) -> None:
    monkeypatch.chdir(stock.parent)
    monkeypatch.setitem(sys.modules, hidden, None)
    said = office.run("threads", "import", source, "--json", code=2)
    assert install in said.err
    assert said.json["error"]["kind"] == "DriverMissing"
