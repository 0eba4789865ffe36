"""inbox, effects, show, halts, verify."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tallystick import Effect, Ledger, NotApplied
from tallystick.cli._render import shortest

HOLD = """
import sys, time
from tallystick import Ledger
ledger = Ledger(sys.argv[1])
def slow():
    print("running", flush=True)
    time.sleep(60)
ledger.call("slow", slow, {}, workflow="w")
"""


def test_the_inbox_shows_what_waits_for_a_person(office: Any) -> None:
    doubt, request = office.doubtful(), office.asked()
    items = office.run("inbox", "--json").json
    assert {(item["kind"], item["effect"]["key"]) for item in items} == {
        ("in_doubt", doubt),
        ("approval", request),
    }
    for item in items:
        assert datetime.fromisoformat(item["opened_at"]).tzinfo is not None


def test_the_inbox_shows_what_a_killed_process_left(office: Any, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, office.url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as out:
        assert out.readline() == b"running\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    office.ledger.close()
    item = office.run("inbox", "--json").json[0]
    assert item["kind"] == "in_doubt"
    assert item["effect"]["tool"] == "slow"


def test_an_empty_inbox_says_so(office: Any) -> None:
    assert office.run("inbox").out == "Nothing waits for a person.\n"
    assert office.run("inbox", "--json").json == []


def test_effects_are_listed_newest_first_and_filtered(office: Any) -> None:
    first, second = office.done("a", cents=1), office.done("b", cents=2)
    request = office.asked("b", cents=3)
    keys = [effect["key"] for effect in office.run("effects", "--json").json]
    assert keys == [request, second.key, first.key]

    def listed(*options: str) -> list[str]:
        return [effect["key"] for effect in office.run("effects", "--json", *options).json]

    assert listed("--workflow", "a") == [first.key]
    assert listed("--status", "pending") == [request]
    assert listed("--tool", "nothing") == []
    assert listed("--limit", "1") == [request]


def test_a_status_that_does_not_exist_is_wrong_usage(office: Any) -> None:
    assert "in_doubt" in office.run("effects", "--status", "lost", code=2).err


def test_a_table_that_nobody_watches_is_plain_and_whole(office: Any) -> None:
    effect = office.done("a-workflow-with-a-name-that-is-longer-than-most-terminals-are-wide" * 3)
    said = office.shell("effects")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert effect.key[:12] in said.out
    assert effect.workflow in said.out


def test_show_tells_everything_about_an_effect(office: Any) -> None:
    key = office.doubtful(message="the card was charged, perhaps")
    said = office.run("show", key)
    assert key in said.out
    assert "RuntimeError: the card was charged, perhaps" in said.out
    assert "Traceback (most recent call last)" in said.out
    assert '"cents": 5' in said.out
    shown = office.run("show", key, "--json").json
    assert shown["effect"]["error"]["message"] == "the card was charged, perhaps"
    assert [event["kind"] for event in shown["history"]] == ["in_doubt"]


def test_show_tells_the_result(office: Any) -> None:
    effect = office.done(cents=7)
    assert "paid 7 to ann" in office.run("show", effect.key).out
    assert office.run("show", effect.key, "--json").json["effect"]["result"] == "paid 7 to ann"


def test_a_key_may_be_shortened_to_a_unique_beginning(office: Any) -> None:
    effect = office.done()
    for typed in (effect.key[:6], effect.key[:6].upper(), f" {effect.key[:12]}… "):
        assert office.run("show", typed, "--json").json["effect"]["key"] == effect.key


def test_a_beginning_of_two_keys_is_refused(office: Any) -> None:
    for n in range(40):
        office.done(f"w{n}")
    keys = sorted(effect.key for effect in office.ledger.effects())
    two = next(a for a, b in pairwise(keys) if a[0] == b[0])
    assert "several" in office.run("show", two[0], code=2).err


def test_an_unknown_key_is_an_answer_in_json_too(office: Any) -> None:
    said = office.run("show", "abc123", "--json", code=2)
    assert said.json["error"]["kind"] == "UnknownEffect"
    assert "abc123" in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


def test_what_an_agent_wrote_cannot_drive_the_terminal(office: Any) -> None:
    key = office.asked(cents=1, to="\x1b[2Jann\u202e\x9b [bold]x[/bold]\ud83d")
    for command in ("inbox", "effects", f"show {key}"):
        out = office.run(*command.split()).out
        assert not any(c in out for c in "\x1b\u202e\x9b\ud83d")
    assert r"\u001b[2Jann\u202e\x9b [bold]x[/bold]" in office.run("show", key).out


def test_another_tenant_sees_nothing(office: Any) -> None:
    effect = office.done()
    assert office.run("effects", "--tenant", "acme", "--json").json == []
    office.run("show", effect.key, "--tenant", "acme", code=2)


def test_a_sound_ledger_verifies(office: Any) -> None:
    office.done("a")
    office.doubtful("b")
    assert office.run("verify").out == "2 effects and 1 events: sound.\n"
    assert office.run("verify", "--json").json == {
        "sound": True,
        "effects": 2,
        "events": 1,
        "damage": [],
        "unchecked": 0,
    }


def test_a_damaged_result_is_found(office: Any) -> None:
    effect = office.done()
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("UPDATE tallystick_effect SET result = '\"paid 6 to eve\"'")
    said = office.run("verify", "--json", code=1).json
    assert not said["sound"]
    assert [damage["key"] for damage in said["damage"]] == [effect.key]
    assert effect.key in office.run("verify", code=1).out


def test_a_recorded_failure_shows_what_was_said(office: Any) -> None:
    def declined() -> None:
        raise NotApplied("card declined")

    with pytest.raises(NotApplied):
        office.ledger.call("pay", declined, workflow="w")
    effect = office.ledger.effects()[0]
    assert "card declined" in office.run("show", effect.key).out


# -- which database -------------------------------------------------------------------------------


def test_a_missing_file_is_an_error_and_not_a_new_ledger(office: Any, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.db"
    for command in ("inbox", "effects", "verify", "doctor", "halts", "show abc", "db check"):
        said = office.run(*command.split(), code=2, ledger=str(missing))
        assert str(missing) in said.err
        assert "--ledger" in said.err
        assert "TALLYSTICK_LEDGER" in said.err
    assert list(tmp_path.glob("nowhere*")) == []


def test_a_database_of_others_is_left_alone(office: Any, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE theirs (x)")
    assert "holds no ledger" in office.run("inbox", code=2, ledger=str(path)).err
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_file_that_is_no_database_is_an_error(office: Any, tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Ann, " * 1000)
    said = office.run("inbox", code=None, ledger=str(path))
    assert said.code == 1
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("memory://", "inside the program"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("oracle://host/db", "no store for oracle"),
        ("postgresql://nobody@127.0.0.1:1/none", "check that the database runs"),
    ],
)
def test_what_is_no_database_to_look_into_is_an_error(office: Any, given: str, why: str) -> None:
    assert why in office.run("inbox", code=2, ledger=given).err


def test_the_database_comes_from_option_environment_or_default(
    office: Any, tmp_path: Path, tallystick: Callable[..., Any]
) -> None:
    office.done()
    assert len(tallystick("effects", "--json", "--ledger", str(office.path)).json) == 1
    assert len(tallystick("effects", "--json", TALLYSTICK_LEDGER=str(office.path)).json) == 1
    said = tallystick("effects", "--json", cwd=tmp_path)
    assert said.code == 2
    assert str(tmp_path / "tallystick.db") in said.err
    Ledger(f"sqlite:///{tmp_path / 'tallystick.db'}").close()
    assert tallystick("effects", "--json", cwd=tmp_path).json == []


def test_keys_are_shown_as_long_as_it_takes_to_tell_them_apart(office: Any) -> None:
    effect: Effect = office.done()
    twin = effect.key[:20] + "f" * 44
    assert shortest([effect.key]) == 12
    assert shortest([effect.key, twin]) > 20
