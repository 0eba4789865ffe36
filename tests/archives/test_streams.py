"""Where archives go to and come from: paths, streams, pipes."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tallystick._flows.archives import _next_limit  # pyright: ignore[reportPrivateUsage]
from tallystick.errors import ArchiveDamaged, InvalidCall

from .conftest import exported, fill


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with five effects."""
    with Ledger("memory://") as ledger:
        fill(ledger)
        yield ledger


@pytest.fixture
def empty() -> Iterator[Ledger]:
    """A ledger with none."""
    with Ledger("memory://") as ledger:
        yield ledger


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_written_and_read(
    ledger: Ledger, empty: Ledger, tmp_path: Path, kind: Any
) -> None:
    file = kind(tmp_path / "archive.jsonl")
    done = ledger.export(file)
    text = Path(file).read_bytes()
    assert (done.bytes, done.effects, done.events) == (len(text), 5, 3)
    assert empty.load(file).imported == 5
    assert list(tmp_path.iterdir()) == [Path(file)]


def test_a_text_stream_is_written_and_read(ledger: Ledger, empty: Ledger) -> None:
    archive = io.StringIO()
    ledger.export(archive)
    archive.seek(0)
    assert empty.load(archive).imported == 5


def test_a_text_stream_with_other_letters_is_refused(ledger: Ledger, empty: Ledger) -> None:
    text = exported(ledger).decode().replace("charge", "chargé")
    with pytest.raises(ArchiveDamaged, match="line 2: it was edited"):
        empty.load(io.StringIO(text))


def test_a_pipe_is_written_and_read(ledger: Ledger, empty: Ledger) -> None:
    """Nothing is read twice."""
    come, go = os.pipe()

    def write() -> None:
        with os.fdopen(go, "wb") as out:
            ledger.export(out)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(come, "rb") as archive:
        assert empty.load(archive).imported == 5
    thread.join()


def test_an_archive_may_begin_in_the_middle_of_a_stream(ledger: Ledger, empty: Ledger) -> None:
    archive = io.BytesIO(b"something else\n" + exported(ledger))
    archive.readline()
    assert empty.load(archive).imported == 5


@pytest.mark.parametrize("file", [7, None, object()])
def test_what_is_no_file_is_refused(ledger: Ledger, file: Any) -> None:
    for verb in (ledger.export, ledger.load):
        with pytest.raises(InvalidCall, match="give a path"):
            verb(file)


def test_a_path_that_leads_nowhere_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    for verb, words in ((ledger.export, "cannot be written"), (ledger.load, "cannot be read")):
        with pytest.raises(InvalidCall, match=words):
            verb(tmp_path / "no" / "archive.jsonl")


def test_what_cannot_be_meant_is_refused(ledger: Ledger) -> None:
    whole: list[tuple[Any, dict[str, Any]]] = [
        (ledger.export, {"workflow": ""}),
        (ledger.export, {"since": datetime(2026, 1, 1)}),  # noqa: DTZ001 - it names no zone
        (ledger.export, {"since": "yesterday"}),
        (ledger.export, {"format": "csv"}),
        (ledger.load, {"on_conflict": "merge"}),
        (ledger.load, {"by": ""}),
    ]
    for verb, options in whole:
        with pytest.raises(InvalidCall):
            verb(io.BytesIO(exported(ledger)), **options)


class Full(io.BytesIO):
    """A disk that is full after a while."""

    def write(self, text: Any, /) -> int:
        if self.tell() > 100:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_an_export_that_fails_leaves_what_was_there(ledger: Ledger, tmp_path: Path) -> None:
    """The old archive, and nothing beside it."""
    file = tmp_path / "archive.jsonl"
    file.write_text("the old one")
    ledger.close()
    with pytest.raises(Exception, match="closed"):
        ledger.export(file)
    assert file.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_stream_that_fails_is_the_callers(ledger: Ledger) -> None:
    with pytest.raises(OSError, match="No space left"):
        ledger.export(Full())


def test_only_what_changed_lately_is_exported(ledger: Ledger) -> None:
    for since, effects in ((timedelta(hours=-1), 5), (timedelta(hours=1), 0)):
        done = ledger.export(io.BytesIO(), since=datetime.now(UTC) + since)
        assert done.effects == effects


def test_large_results_are_read_a_few_at_a_time() -> None:
    """So many at once as have room, and never none."""
    assert [_next_limit(16, size) for size in (0, 1 << 20, 3 << 20, 5 << 20)] == [32, 32, 16, 8]
    assert (_next_limit(1, 1 << 30), _next_limit(1000, 0)) == (1, 1000)


def test_an_awaited_import_does_not_stop_the_loop(ledger: Ledger, empty: Ledger) -> None:
    """It can be cancelled between its pages, and then nothing of it is there."""
    come, go = os.pipe()
    os.set_blocking(go, True)
    text = exported(ledger)

    async def main() -> None:
        with os.fdopen(come, "rb") as archive:
            load = asyncio.create_task(empty.aload(archive))
            os.write(go, text[:500])
            await asyncio.sleep(0.05)
            assert not load.done()
            load.cancel()
            os.write(go, text[500:])
            os.close(go)
            with pytest.raises(asyncio.CancelledError):
                await load
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert empty.effects() == []
