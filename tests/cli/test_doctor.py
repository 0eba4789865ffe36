"""doctor, db check, db upgrade."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger

from .test_look import HOLD


def states(said: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in said.json["checks"]}


def test_a_healthy_ledger_is_found_healthy(office: Any) -> None:
    office.done()
    said = office.run("doctor", "--json")
    assert said.json["healthy"] is True
    assert set(states(said).values()) == {"ok"}
    assert set(states(said)) == {
        "disk", "file", "journal", "tables", "durability", "hosts", "workers", "inbox", "halts",
        "budgets", "records",
    }  # fmt: skip
    out = office.run("doctor").out
    assert "local disk" in out
    assert "write-ahead log" in out
    assert "FULL" in out


def test_what_waits_and_what_is_halted_is_a_warning(office: Any) -> None:
    office.doubtful()
    office.run("halt", "--tool", "x", "--reason", "y")
    said = office.run("doctor", "--json")
    assert (states(said)["inbox"], states(said)["halts"]) == ("warn", "warn")
    inbox = next(check for check in said.json["checks"] if check["name"] == "inbox")
    assert "1 in doubt" in inbox["says"]
    assert inbox["next"] == "tallystick inbox"


def test_requests_for_approval_are_nothing_to_worry_about(office: Any) -> None:
    office.asked()
    assert states(office.run("doctor", "--json"))["inbox"] == "ok"


def test_effects_of_a_dead_process_are_a_warning(office: Any) -> None:
    office.ledger.close()
    child = subprocess.Popen([sys.executable, "-c", HOLD, office.url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as out:
        out.readline()
        assert states(office.run("doctor", "--json"))["workers"] == "ok"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    assert states(office.run("doctor", "--json"))["workers"] == "warn"


def test_another_host_at_a_sqlite_file_is_a_warning(office: Any) -> None:
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("INSERT INTO tallystick_worker VALUES ('x', 'elsewhere', 1, 0, 0, 0)")
    said = office.run("doctor", "--json")
    assert states(said)["hosts"] == "warn"
    assert "elsewhere" in said.out


def test_a_network_disk_is_a_failure(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nfs(path: Path) -> str:
        return "nfs"

    monkeypatch.setattr("tallystick.stores._sqlite.network_filesystem", nfs)
    said = office.run("doctor", "--json", code=1)
    assert states(said)["disk"] == "fail"
    assert "nfs" in said.out


def test_another_journal_mode_is_a_warning(office: Any) -> None:
    office.done()
    office.ledger.close()
    with closing(sqlite3.connect(office.path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    assert states(office.run("doctor", "--json"))["journal"] == "warn"


def test_a_changed_record_is_a_failure(office: Any) -> None:
    office.done()
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("UPDATE tallystick_effect SET result = '1'")
    assert states(office.run("doctor", "--json", code=1))["records"] == "fail"


def test_a_damaged_file_is_a_failure(office: Any) -> None:
    for n in range(200):
        office.done(f"w{n}", cents=n, to="x" * 500)
    office.ledger.close()
    size = office.path.stat().st_size
    with office.path.open("r+b") as file:
        for page in range(3, size // 4096, 3):
            file.seek(page * 4096)
            file.write(b"\xff" * 2048)
    said = office.run("doctor", code=1)
    assert "damage" in said.out + said.err


def test_a_file_that_is_no_database_is_a_failure(office: Any, tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Ann, " * 1000)
    said = office.run("doctor", "--json", ledger=str(path), code=1)
    assert states(said)["file"] == "fail"


def test_missing_tables_are_a_failure_that_names_the_next_step(office: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    sqlite3.connect(path).execute("CREATE TABLE theirs (x)").connection.close()
    said = office.run("doctor", "--json", ledger=str(path), code=1)
    tables = next(check for check in said.json["checks"] if check["name"] == "tables")
    assert (tables["state"], tables["next"]) == ("fail", "tallystick db upgrade")


def test_the_tables_are_made_in_a_database_that_exists(office: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs.db")
    sqlite3.connect(path).execute("CREATE TABLE theirs (x)").connection.close()
    before = office.run("db", "check", "--json", ledger=path, code=1).json
    assert before["current"] is None
    assert not before["up_to_date"]
    assert "missing" in office.run("db", "check", ledger=path, code=1).out
    assert office.run("db", "upgrade", "--json", ledger=path).json["before"] is None
    after = office.run("db", "check", "--json", ledger=path).json
    assert after["up_to_date"]
    assert after["current"] == after["needed"]
    assert office.run("inbox", "--json", ledger=path).json == []
    assert "already" in office.run("db", "upgrade", ledger=path).out


def test_a_newer_schema_is_refused(office: Any) -> None:
    office.ledger.close()
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("UPDATE tallystick_version SET version_num = '9999'")
    assert "newer" in office.run("db", "upgrade", code=2).err
    assert states(office.run("doctor", "--json", code=1))["tables"] == "fail"


def test_a_missing_file_is_not_made_by_an_upgrade(office: Any, tmp_path: Path) -> None:
    office.run("db", "upgrade", ledger=str(tmp_path / "none.db"), code=2)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.postgres
def test_a_postgres_ledger_is_examined_and_upgraded(office: Any, empty_postgres: str) -> None:
    assert office.run("db", "check", ledger=empty_postgres).code == 0
    with Ledger(empty_postgres) as ledger:
        ledger.call("pay", lambda: 1, workflow="w")
        said = office.run("doctor", "--json", ledger=empty_postgres)
    assert states(said)["server"] == "ok"
    assert states(said)["workers"] == "ok"
    assert states(said)["records"] == "ok"
    assert "PostgreSQL" in said.out
    assert len(office.run("effects", "--json", ledger=empty_postgres).json) == 1


@pytest.mark.postgres
def test_effects_of_a_dead_postgres_worker_are_a_warning(office: Any, empty_postgres: str) -> None:
    command = [sys.executable, "-c", HOLD, empty_postgres]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as out:
        out.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    import psycopg

    with psycopg.connect(empty_postgres, autocommit=True) as db:
        db.execute("UPDATE tallystick_worker SET last_seen = last_seen - 60000000")
    assert states(office.run("doctor", "--json", ledger=empty_postgres))["workers"] == "warn"
