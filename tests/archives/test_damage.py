"""What is not what was exported is refused whole, and the line is named."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tallystick import Ledger
from tallystick._keys import halts_chain
from tallystick.errors import ArchiveDamaged, ArchiveElsewhere, ArchiveError, ArchiveUnknown

from ._forging import edited, forged, parsed

Deed = Callable[[list[bytes]], object]


def refused(archive: bytes) -> ArchiveError:
    """Why an archive is refused; nothing of it is there afterwards."""
    with Ledger("memory://") as ledger:
        with pytest.raises(ArchiveError) as error:
            ledger.load(io.BytesIO(archive))
        assert ledger.effects() == []
        return error.value


def _swap(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def _put(n: int, old: bytes, new: bytes) -> Deed:
    def put(lines: list[bytes]) -> None:
        assert old in lines[n - 1]
        lines[n - 1] = lines[n - 1].replace(old, new, 1)

    return put


ACCIDENTS: dict[str, tuple[int, str, Deed]] = {
    "cut off in a line": (4, "cut off", lambda x: x.__setitem__(slice(3, None), [x[3][:50]])),
    "cut off between lines": (5, "cut off", lambda x: x.__delitem__(slice(4, None))),
    "without its seal": (7, "cut off", lambda x: x.pop()),
    "without the end of its seal": (7, "cut off", lambda x: x.append(x.pop()[:-1])),
    "without a line": (3, "removed", lambda x: x.pop(2)),
    "without its last effect": (6, "seal", lambda x: x.pop(5)),
    "with a line twice": (4, "added", lambda x: x.insert(3, x[2])),
    "in another order": (3, "order", _swap),
    "with another result": (3, "edited", _put(3, b'{\\"receipt\\":1}', b'{\\"receipt\\":7}')),
    "with another sum": (3, "not the line", _put(3, b'"sum":"', b'"sum":"0')),
    "with another header": (7, "seal", _put(1, b'"at":1', b'"at":2')),
    "with another seal": (7, "seal", _put(7, b'"effects":5', b'"effects":4')),
    "with more behind it": (8, "follows", lambda x: x.append(b"\n")),
    "with other ends of lines": (
        2,
        "edited",
        lambda x: x.__setitem__(slice(1, None), [y.replace(b"\n", b"\r\n") for y in x[1:]]),
    ),
    "with a line that is no effect's": (3, "not the line", _put(3, b'{"n"', b'{ "n"')),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_archive_is_refused(archive: bytes, accident: str) -> None:
    line, word, deed = ACCIDENTS[accident]
    lines = archive.splitlines(keepends=True)
    deed(lines)
    error = refused(b"".join(lines))
    assert isinstance(error, ArchiveDamaged), error
    assert (error.line, word in str(error)) == (line, True), error
    assert str(error).startswith(f"line {line}: ")


def _set(**columns: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda line: line["effect"].update(columns)


def _event(n: int, **columns: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda line: line["events"][n].update(columns)


FORGERIES: dict[str, tuple[int, str, Callable[[dict[str, Any]], Any]]] = {
    "a result": (1, "result does not match", _set(result='{"receipt":7}')),
    "an argument": (1, "arguments do not match", _set(args='{"n":7}')),
    "a digest of arguments": (1, "arguments do not match", _set(shown="00" * 32)),
    "an edit": (4, "edited arguments", _set(edited='{"cents":9}')),
    "an actor": (4, "chain of events breaks at number 2", _event(1, actor="eve")),
    "an event less": (4, "2 events were written", lambda x: x["events"].pop()),
    "an event more": (4, "breaks at number 3", lambda x: x["events"].append(x["events"][1])),
    "no events": (4, "2 events were written", lambda x: x.pop("events")),
    "the order of events": (4, "breaks at number 1", lambda x: x["events"].reverse()),
    "a status": (1, "'done' is no status", _set(status="done")),
    "a guarantee": (1, "no guarantee", _set(guarantee="forever")),
    "an empty name": (1, "no name", _set(tool="")),
    "a short key": (1, "length", _set(key="00" * 16)),
    "a short twin": (1, "length", _set(twin="00")),
    "the key of the halts": (5, "chain of halts", _set(key=halts_chain(None).hex())),
    "an epoch": (1, "less than it can be", _set(epoch=0)),
    "a later vote": (4, "has not begun", lambda x: x["votes"][0].update(round=2)),
    "an error that is no JSON": (5, "has to be JSON", _set(error="broken")),
    "facts that are no object": (1, "has to be JSON", _set(facts="7")),
    "a place that is no list": (1, "has to be JSON", _set(place="{}")),
    "a place in a list of numbers": (1, "has to be JSON", _set(place="[7]")),
    "a NUL": (1, "NUL", _set(workflow="w\0")),
    "half a pair": (1, "surrogate", _set(workflow="w\ud800")),
    "a large number": (1, "64 bits", _set(quiet=1 << 63)),
    "a truth value": (1, "64 bits", _set(quiet=True)),
    "a text for a number": (1, "another kind", _set(quiet="7")),
    "a list for a text": (1, "another kind", _set(tool=["charge"])),
    "no hex": (1, "no hex", _set(key="zz" * 32)),
    "hex with blanks": (1, "no hex", _set(key="00 " * 32)),
    "no tool": (1, "has no tool", lambda x: x["effect"].pop("tool")),
    "an unknown column": (1, "does not know: colour", _set(colour="red")),
    "an empty column": (1, "does not know: holder", _set(holder=None)),
    "an unknown part": (1, "does not know: budget", lambda x: x.update(budget={})),
    "no effect": (1, "not the line of an effect", lambda x: x.update(effects=x.pop("effect"))),
    "an effect that is a list": (1, "not the line of an effect", lambda x: x.update(effect=[1])),
    "events that are numbers": (4, "not the line of an effect", lambda x: x.update(events=[1])),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_record_that_no_ledger_wrote_is_refused(archive: bytes, forgery: str) -> None:
    n, words, edit = FORGERIES[forgery]
    error = refused(edited(archive, n, edit))
    assert isinstance(error, ArchiveDamaged), error
    assert (error.line, words in str(error)) == (n + 1, True), error


def test_a_forged_archive_that_is_whole_is_taken(archive: bytes) -> None:
    """The forger of these tests changes nothing by itself."""
    assert forged(archive, parsed(archive)) == archive


def test_a_key_that_comes_twice_is_refused(archive: bytes) -> None:
    effects = parsed(archive)
    error = refused(forged(archive, [*effects, effects[1]]))
    assert (error.line, "line 3" in str(error)) == (7, True), error


def test_an_effect_of_another_workflow_is_refused(archive: bytes) -> None:
    error = refused(forged(archive, parsed(archive), workflow="w"))
    assert (error.line, "belongs to workflow v" in str(error)) == (6, True)


@pytest.mark.parametrize(
    "text",
    [b"hello\n", b"[]\n", b'{"header":7}\n', b'{"header":{"format":"tar"}}\n', b"{" * 100_000],
    ids=["words", "a list", "a number", "another format", "braces"],
)
def test_what_is_no_archive_is_refused(text: bytes) -> None:
    error = refused(text)
    assert error.line == 1


def test_an_archive_of_a_newer_version_is_refused(archive: bytes) -> None:
    error = refused(forged(archive, parsed(archive), schema=2, tallystick="9.1"))
    assert isinstance(error, ArchiveUnknown)
    assert "9.1" in str(error)
    assert "upgrade" in str(error)


@pytest.mark.parametrize("said", [{"tenant": 7}, {"at": "noon"}, {"workflow": []}, {"since": "x"}])
def test_a_header_of_other_kinds_is_refused(archive: bytes, said: dict[str, Any]) -> None:
    assert isinstance(refused(forged(archive, parsed(archive), **said)), ArchiveUnknown)


def test_an_archive_of_another_tenant_names_it(archive: bytes) -> None:
    error = refused(forged(archive, parsed(archive), tenant="acme"))
    assert isinstance(error, ArchiveElsewhere)
    assert error.tenant == "acme"


def test_deep_json_is_refused(archive: bytes) -> None:
    lines = archive.splitlines(keepends=True)
    body = b'"effect":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    mark = hashlib.sha256(body).hexdigest()[:16].encode()
    lines[1] = b'{"n":1,"sum":"' + mark + b'",' + body + b"\n"
    error = refused(b"".join(lines))
    assert (error.line, "JSON" in str(error)) == (2, True)


def test_errors_survive_a_pickle(archive: bytes) -> None:
    error = refused(forged(archive, parsed(archive), tenant="acme"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), again.line, again.tenant) == (ArchiveElsewhere, 1, "acme")


def test_an_archive_says_what_it_is(archive: bytes) -> None:
    head = json.loads(archive.splitlines()[0])["header"]
    assert (head["format"], head["schema"], head["tenant"]) == ("tallystick archive", 1, "default")
    seal = json.loads(archive.splitlines()[-1])["seal"]
    assert (seal["effects"], seal["events"]) == (5, 3)
