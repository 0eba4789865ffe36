"""export, import."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Office


def test_a_file_goes_from_one_ledger_to_another(office: Office, tmp_path: Path) -> None:
    office.asked()
    office.doubtful()
    file, new = tmp_path / "archive.jsonl", tmp_path / "new.db"
    said = office.run("export", str(file), "--json").json
    assert (said["effects"], said["bytes"]) == (2, file.stat().st_size)
    missing = office.run("import", str(file), code=2, ledger=str(new))
    assert "there is no ledger" in missing.err
    loaded = office.run("import", str(file), "--create", "--by", "ann", ledger=str(new))
    assert "2 effects: 2 imported, 0 known before." in loaded.out
    assert "1 to decide and 1 in doubt" in loaded.out
    again = office.run("import", str(file), "--json", ledger=str(new)).json
    assert (again["imported"], again["known"]) == (0, 2)


def test_a_part_of_a_ledger_is_exported(office: Office, tmp_path: Path) -> None:
    office.asked("w")
    office.asked("v")
    file = str(tmp_path / "archive.jsonl")
    assert office.run("export", file, "--workflow", "v", "--json").json["effects"] == 1
    assert office.run("export", file, "--since", "1h", "--json").json["effects"] == 2
    assert office.run("export", file, "--since", "0s", "--json").json["effects"] == 0
    pytest.importorskip("pyarrow")
    assert office.run("export", file, "--format", "parquet", "--json").json["effects"] == 2
    refused = office.run("import", file, code=1)
    assert "begins no archive" in refused.err


def test_what_is_in_the_way_is_named(office: Office, tmp_path: Path) -> None:
    key = office.asked()
    file, new = str(tmp_path / "archive.jsonl"), tmp_path / "new.db"
    office.run("export", file)
    other = Office(new)
    try:
        other.asked()
        refused = other.run("import", file, code=1)
        assert key[:12] in refused.err
        skipped = other.run("import", file, "--skip-conflicts", code=1)
        assert "1 left out" in skipped.out
        assert key in skipped.out
    finally:
        other.ledger.close()


def test_an_archive_goes_through_a_pipe(office: Office, tmp_path: Path) -> None:
    """What the first command says goes to the standard error."""
    office.asked()
    new = tmp_path / "new.db"
    command = [sys.executable, "-m", "tallystick.cli"]
    out = subprocess.Popen(
        [*command, "export", "-", "--ledger", office.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    done = subprocess.run(
        [*command, "import", "-", "--create", "--ledger", str(new)],
        stdin=out.stdout,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"USER": "ann"},
    )
    _, said = out.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert "1 imported" in done.stdout
    assert b"1 effects" in said


def test_a_ledger_is_sealed_and_compared_with_its_seals(office: Office, tmp_path: Path) -> None:
    office.doubtful()
    key, seals = tmp_path / "key", tmp_path / "seals"
    assert office.shell("seal-key", str(key), "--json").json["public"] == f"{key}.pub"
    said = office.run("seal", "--key", str(key), "--out", str(seals), "--json").json
    assert (said["number"], said["leaves"]) == (1, 1)
    check = ("verify", "--seal", str(seals), "--public-key", f"{key}.pub")
    assert "sound" in office.run(*check, "--last-root", said["root"]).out
    with closing(sqlite3.connect(office.path)) as db, db:
        db.execute("UPDATE tallystick_effect SET workflow = 'other'")
    assert "was changed after it was sealed" in office.run(*check, code=1).out
    assert office.run("verify", code=0).code == 0
