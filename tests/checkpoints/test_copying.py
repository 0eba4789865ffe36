"""Threads of LangGraph's own savers go on in the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from tallystick import Ledger
from tallystick._checkpoints import PutWrites, ReadBlobs, ReadWrites, parts_of, thread_key
from tallystick.errors import InvalidCall, InvalidUrl, SchemaMismatch, StoreUnavailable
from tallystick_checkpoint import Copied, LedgerSaver, copy_threads
from tallystick_checkpoint import _copying as copying
from tallystick_checkpoint import _reading as reading
from tallystick_checkpoint._reading import SEALED, outline, values_of
from tallystick_checkpoint._stock import stock as opened
from tests.checkpoints._acts import store_of
from tests.checkpoints._stock import TABLES, Note, Stock, agent, config, fill, say
from tests.checkpoints.test_saver import rows

NOTE = ("tests.checkpoints._stock", "Note")


#: which saver each store copies from: neither knows which the other is
SOURCES = {"memory": "sqlite", "sqlite": "postgres", "postgres": "sqlite"}


@pytest.fixture
def stock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stock]:
    """A saver of LangGraph's own, filled."""
    store = getattr(request.node, "callspec", None)
    kind = SOURCES[store.params["url"]] if store is not None else "sqlite"
    if kind == "sqlite":
        made = Stock("sqlite", f"sqlite:///{tmp_path}/stock.db", tmp_path)
    else:
        made = Stock("postgres", str(request.getfixturevalue("empty_postgres")), tmp_path)
    with made.saver() as saver:
        fill(saver)
    yield made
    if made.kind == "postgres":
        with psycopg.connect(made.url, autocommit=True) as db:
            for name in (*TABLES, "checkpoint_migrations"):
                db.execute(f"DROP TABLE {name}".encode())


def brought(stock: Stock, ledger: Ledger, *threads: str, dry: bool = False) -> dict[str, Copied]:
    """Import as the command does."""
    with opened(stock.url) as source:
        target = LedgerSaver(ledger, serde=SEALED)
        found = copy_threads(source, target, threads or None, dry_run=dry)
    return {one.thread: one for one in found}


def outcomes(found: dict[str, Copied]) -> dict[str, str]:
    return {thread: one.outcome for thread, one in found.items()}


def everything(saver: Any) -> dict[Any, Any]:
    """All that a saver shows, by place; the writes in their order."""
    return {
        tuple(sorted(t.config["configurable"].items())): (
            t.checkpoint,
            t.metadata,
            t.parent_config and t.parent_config["configurable"]["checkpoint_id"],
            t.pending_writes,
        )
        for t in saver.list(None)
    }


def allowing(ledger: Ledger) -> LedgerSaver:
    """A saver that may make the user's own class."""
    return LedgerSaver(ledger, serde=JsonPlusSerializer(allowed_msgpack_modules=[NOTE]))


# -- the copy --------------------------------------------------------------------------------------


def test_the_ledger_shows_what_the_source_shows(stock: Stock, ledger: Ledger) -> None:
    """Every namespace, with metadata, parents and writes; the source is not touched."""
    before = stock.digest()
    found = brought(stock, ledger)
    assert stock.digest() == before
    assert outcomes(found) == {"7": "copied", "asks": "copied", "rest": "copied"}
    with stock.saver() as saver:
        saver.serde = JsonPlusSerializer(allowed_msgpack_modules=[NOTE])
        theirs = everything(saver)
    ours = everything(allowing(ledger))
    assert ours == theirs
    assert sum(one.checkpoints for one in found.values()) == len(theirs)
    assert all(one.added == one.checkpoints and one.fine for one in found.values())
    namespaces = {dict(place)["checkpoint_ns"] for place in theirs}
    assert "" in namespaces
    assert "recall" in namespaces
    assert any(":" in ns for ns in namespaces)
    assert {c["channel_values"].get("note") for c, *_ in ours.values()} >= {Note("one", 2)}


def test_what_is_written_is_called_as_it_was(stock: Stock, ledger: Ledger) -> None:
    """Tasks, indices and paths: what a resumed run writes finds its place among them."""
    brought(stock, ledger)
    table = "writes" if stock.kind == "sqlite" else "checkpoint_writes"
    with stock.saver() as saver:
        asked = "checkpoint_ns, checkpoint_id, task_id, idx, channel, task_path"
        found = saver.conn.execute(f"SELECT {asked} FROM {table} WHERE thread_id = 'asks'")
        theirs = {values_of(row) for row in found.fetchall()}
    store, saved = store_of(ledger), rows(LedgerSaver(ledger), "asks")
    key, ours = thread_key("default", "asks"), set[tuple[Any, ...]]()
    for row in saved:
        for w in store.read(ReadWrites(key=key, ns=row.ns, ids=(row.id,))):
            ours.add((w.ns, w.checkpoint, w.task, w.idx, w.channel, w.path))
    assert ours == theirs
    assert {w[3] for w in ours} >= {-3, 0}
    assert len({w[5] for w in ours}) > 3


def test_doing_it_again_changes_nothing(stock: Stock, ledger: Ledger) -> None:
    first = brought(stock, ledger)
    before = {thread: rows(LedgerSaver(ledger), thread) for thread in first}
    again = brought(stock, ledger)
    assert outcomes(again) == dict.fromkeys(first, "unchanged")
    assert {one.added for one in again.values()} == {0}
    assert {thread: rows(LedgerSaver(ledger), thread) for thread in first} == before


@pytest.mark.parametrize(("half", "step"), [("put", 0), ("put", 7), ("do", 2)])
def test_a_copy_that_was_cut_off_is_completed(
    stock: Stock, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, half: str, step: int
) -> None:
    """Before a checkpoint, or between it and what was written for the next one."""
    count = iter(range(1000))

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if next(count) == step:
                raise KeyboardInterrupt
            return real(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        if half == "put":
            patch.setattr(LedgerSaver, "put", dying(LedgerSaver.put))
        else:
            patch.setattr(copying, "PutWrites", dying(PutWrites))
        with pytest.raises(KeyboardInterrupt):
            brought(stock, ledger, "asks")
    found = brought(stock, ledger, "asks")["asks"]
    assert found.outcome == "copied"
    assert 0 < found.added <= found.checkpoints
    assert half == "do" or found.added == found.checkpoints - step
    with opened(stock.url) as source:
        sealed = LedgerSaver(ledger, serde=SEALED)
        theirs = source.get_tuple(config("asks"))
        ours = sealed.get_tuple(config("asks"))
        assert len(cast("Any", ours).pending_writes) == len(cast("Any", theirs).pending_writes) > 0
    assert brought(stock, ledger, "asks")["asks"].outcome == "unchanged"


def test_a_dry_run_says_what_would_be_done(stock: Stock, ledger: Ledger) -> None:
    told = brought(stock, ledger, dry=True)
    assert rows(LedgerSaver(ledger), "rest") == []
    assert brought(stock, ledger) == told
    assert outcomes(brought(stock, ledger, dry=True)) == dict.fromkeys(told, "unchanged")


def test_only_the_threads_that_are_named_are_copied(stock: Stock, ledger: Ledger) -> None:
    found = brought(stock, ledger, cast("Any", 7), "nobody")
    assert outcomes(found) == {"7": "copied", "nobody": "missing"}
    assert not found["nobody"].fine
    assert rows(LedgerSaver(ledger), "rest") == []


def test_a_thread_grows_in_the_ledger_as_one_that_was_made_there(
    stock: Stock, ledger: Ledger
) -> None:
    """Its values are stored once, its turns are known, and its runs."""
    agent(allowing(ledger)).invoke(say("one"), config("native"))
    brought(stock, ledger, "asks")

    def shape(thread: str) -> list[Any]:
        found = sorted(rows(LedgerSaver(ledger), thread), key=lambda r: r.id)
        return [
            (r.ns.partition(":")[0], r.parent is None, sorted(json.loads(r.vals))) for r in found
        ]

    assert shape("asks") == shape("native")
    copied = rows(LedgerSaver(ledger), "asks")
    assert {row.run for row in copied} == {"r-asks"}
    assert {row.turn for row in copied} == {json.dumps(["asks", "run:r-asks"])}
    sizes = [sum(len(b.data) for b in _blobs(ledger, t)) for t in ("asks", "native")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def _blobs(ledger: Ledger, thread: str) -> list[Any]:
    named = tuple(
        set[bytes]().union(*(parts_of(r.vals) for r in rows(LedgerSaver(ledger), thread)))
    )
    found = store_of(ledger).read(ReadBlobs(key=thread_key("default", thread), ids=named))
    return cast("list[Any]", found)


# -- going on --------------------------------------------------------------------------------------


def test_an_interrupted_thread_is_resumed_in_the_ledger(stock: Stock, ledger: Ledger) -> None:
    """With the answer that the source's own thread would give."""
    brought(stock, ledger)
    graph = agent(allowing(ledger))
    assert [i.value for i in graph.get_state(config("asks")).interrupts] == [{"really": 5}]
    ours = graph.invoke(Command(resume="yes"), config("asks"))
    with stock.saver() as saver:
        theirs = agent(saver).invoke(Command(resume="yes"), config("asks"))
    assert ours == theirs
    assert ours["log"][-1] == "told yes"
    assert ours["trail"][:4] == ["hear", "each 3", "each 1", "each 2"]
    more = graph.invoke(say("again"), config("asks"))
    assert "recall 2" in more["log"]
    assert graph.invoke(Command(resume="no"), config("asks"))["log"][-1] == "told no"


def test_one_can_go_back_in_a_copied_thread(stock: Stock, ledger: Ledger) -> None:
    """The same happens from every checkpoint as in the source."""
    brought(stock, ledger)
    graph = agent(allowing(ledger))
    with stock.saver() as saver:
        original = agent(saver)
        history = list(original.get_state_history(config("rest")))
        ours = list(graph.get_state_history(config("rest")))
        assert ours == history
        for state in history:
            there = original.get_state(state.config, subgraphs=True)
            assert graph.get_state(state.config, subgraphs=True) == there
        for state in history[::3]:
            theirs = original.invoke(None, state.config)
            found = graph.invoke(None, state.config)
            assert _without_ids(found) == _without_ids(theirs)


def _without_ids(found: dict[str, Any]) -> Any:
    return (
        [m.content for m in found["messages"]],
        found.get("log"),
        found.get("note"),
        found.get("trail"),
    )


def test_what_is_new_in_the_source_is_copied_later(stock: Stock, ledger: Ledger) -> None:
    """As long as nothing went on in the ledger."""
    first = brought(stock, ledger)["asks"]
    with stock.saver() as saver:
        agent(saver).invoke(Command(resume="yes"), config("asks"))
    found = brought(stock, ledger)
    assert outcomes(found) == {"7": "unchanged", "asks": "copied", "rest": "unchanged"}
    assert found["asks"].checkpoints > first.checkpoints
    state = agent(allowing(ledger)).get_state(config("asks"))
    assert (state.next, state.values["log"][-1]) == ((), "told yes")


# -- what is left as it is -------------------------------------------------------------------------


def test_a_thread_that_went_on_in_the_ledger_is_left_as_it_is(stock: Stock, ledger: Ledger) -> None:
    """And the others are copied all the same."""
    brought(stock, ledger, "asks", "7")
    agent(allowing(ledger)).invoke(Command(resume="here"), config("asks"))
    with stock.saver() as saver:
        agent(saver).invoke(Command(resume="there"), config("asks"))
    before = rows(LedgerSaver(ledger), "asks")
    found = brought(stock, ledger)
    assert outcomes(found) == {"7": "unchanged", "asks": "refused", "rest": "copied"}
    assert "has gone on in the ledger" in found["asks"].why
    assert rows(LedgerSaver(ledger), "asks") == before


def test_an_answer_that_was_given_in_the_ledger_is_not_taken_back(
    stock: Stock, ledger: Ledger
) -> None:
    """Though no checkpoint came after it."""
    brought(stock, ledger, "asks")
    saver = LedgerSaver(ledger)
    head = cast("Any", saver.get_tuple(config("asks")))
    saver.put_writes(head.config, [("__resume__", "here")], "0" * 36)
    with stock.saver() as theirs:
        agent(theirs).invoke(Command(resume="there"), config("asks"))
    assert brought(stock, ledger)["asks"].outcome == "refused"
    kept = cast("Any", saver.get_tuple(head.config)).pending_writes
    assert ("0" * 36, "__resume__", "here") in kept
    assert saver.get_tuple(config("asks")) == saver.get_tuple(head.config)


def test_what_was_pruned_in_the_ledger_does_not_come_back(stock: Stock, ledger: Ledger) -> None:
    brought(stock, ledger)
    LedgerSaver(ledger).retain(keep=2)
    before = rows(LedgerSaver(ledger), "rest")
    assert outcomes(brought(stock, ledger))["rest"] == "refused"
    assert rows(LedgerSaver(ledger), "rest") == before


def test_a_thread_that_was_deleted_in_the_ledger_stays_deleted(
    stock: Stock, ledger: Ledger
) -> None:
    """Also one whose checkpoints all came after it was."""
    brought(stock, ledger)
    LedgerSaver(ledger).delete_thread("rest")
    with stock.saver() as saver:
        agent(saver).invoke(say("three"), config("rest"))
    for dry in (True, False):
        found = brought(stock, ledger, dry=dry)
        assert outcomes(found) == {"7": "unchanged", "asks": "unchanged", "rest": "deleted"}
        assert "stays so" in found["rest"].why
    assert rows(LedgerSaver(ledger), "rest") == []


def test_a_thread_that_is_deleted_meanwhile_stays_deleted(
    stock: Stock, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = LedgerSaver.put, iter(range(1000))

    def put(self: LedgerSaver, *args: Any) -> Any:
        if next(count) == 3:
            self.delete_thread("asks")
        return real(self, *args)

    monkeypatch.setattr(LedgerSaver, "put", put)
    assert brought(stock, ledger, "asks")["asks"].outcome == "deleted"
    assert rows(LedgerSaver(ledger), "asks") == []


def test_what_cannot_be_read_is_told_and_the_rest_is_copied(stock: Stock, ledger: Ledger) -> None:
    """Encrypted values, for one."""
    table = "checkpoints" if stock.kind == "sqlite" else "checkpoint_blobs"
    stock.execute(f"UPDATE {table} SET type = ? WHERE thread_id = ?", "msgpack+aes", "7")
    found = brought(stock, ledger)
    assert outcomes(found) == {"7": "unreadable", "asks": "copied", "rest": "copied"}
    assert "msgpack+aes" in found["7"].why
    assert "copy_threads()" in found["7"].why


def test_what_reads_back_as_something_else_is_told(
    stock: Stock, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LedgerSaver.put

    def put(self: LedgerSaver, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        lost: Any = {**checkpoint, "channel_values": {}}
        return real(self, config, lost, metadata, versions)

    monkeypatch.setattr(LedgerSaver, "put", put)
    found = brought(stock, ledger, "rest")["rest"]
    assert found.outcome == "different"
    assert "do not go on with it" in found.why


# -- sources ---------------------------------------------------------------------------------------


def test_nothing_of_the_users_is_imported(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anything of LangGraph's made of what is read: it stays what it is stored as."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("made")

    for method in ("__init__", "__setstate__"):
        monkeypatch.setattr(Note, method, never, raising=False)
    with opened(stock.url) as source, Ledger("memory://") as ledger:
        assert {one.outcome for one in copy_threads(source, LedgerSaver(ledger, serde=SEALED))} == {
            "copied"
        }


def test_the_source_cannot_be_written_to(stock: Stock) -> None:
    with opened(stock.url) as source, pytest.raises(Exception, match=r"read-?only"):
        source.delete_thread("rest")
    with stock.saver() as saver:
        assert saver.get_tuple(config("rest")) is not None


def test_any_saver_is_a_source(ledger: Ledger) -> None:
    """Also one that tells no paths: the order of what was written is kept."""
    source, target = InMemorySaver(), allowing(ledger)
    source.serde = target.serde
    fill(source)
    for n, path in (("b", "2"), ("a", "3"), ("c", "1")):
        head = cast("Any", source.get_tuple(config("rest"))).config
        source.put_writes(head, [("x", n), ("y", n), ("__error__", n)], n, path)
    found = copy_threads(source, target)
    assert {one.thread: one.outcome for one in found} == {
        "7": "copied", "asks": "copied", "rest": "copied",
    }  # fmt: skip
    assert everything(target) == everything(source)
    assert {one.outcome for one in copy_threads(source, target)} == {"unchanged"}
    theirs = cast("Any", source.get_tuple(config("rest"))).pending_writes
    assert cast("Any", LedgerSaver(ledger).get_tuple(config("rest"))).pending_writes == theirs


def test_a_ledger_is_no_source(ledger: Ledger) -> None:
    with pytest.raises(InvalidCall, match="copy_thread"):
        copy_threads(LedgerSaver(ledger), LedgerSaver(ledger))


def test_parents_come_before_their_children_whatever_the_clocks_said() -> None:
    """Ids of several machines need not be in order."""
    saver = InMemorySaver()

    def put(id_: str, parent: str | None = None, ns: str = "", **metadata: Any) -> None:
        where = config("a", checkpoint_ns=ns, checkpoint_id=parent)
        checkpoint: Any = {
            "v": 2, "id": id_, "ts": "", "channel_values": {}, "channel_versions": {},
            "versions_seen": {},
        }  # fmt: skip
        saver.put(where, checkpoint, cast("Any", metadata), {})

    put("5")
    put("3", "5")
    put("1", ns="sub:x", parents={"": "3"})
    put("4", "3")
    found = [(head.ns, head.id) for head in outline(saver, "a")]
    assert found == [("", "5"), ("", "3"), ("sub:x", "1"), ("", "4")]


def test_pages_end_between_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that were copied share ids; none is left out."""
    monkeypatch.setattr(reading, "_PAGE", 2)
    with Ledger("memory://") as ledger:
        saver = LedgerSaver(ledger)
        fill(saver)
        for n in range(5):
            saver.copy_thread("rest", f"copy {n}")
        assert len(reading.threads_of(saver)) == 8
        assert len(outline(saver, "rest")) == len(rows(saver, "rest"))


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [
        ("mysql://host/db", InvalidUrl, "mysql"),
        ("sqlite://", InvalidUrl, "names no file"),
        ("sqlite:///:memory:", InvalidUrl, "names no file"),
        ("/nowhere/at/all.db", StoreUnavailable, "there is no file"),
        ("postgresql://nobody@127.0.0.1:1/none", StoreUnavailable, "check that the database runs"),
    ],
)
def test_what_is_no_source_is_an_error(url: str, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why), opened(url):
        pass


def test_a_database_without_checkpoints_is_an_error(tmp_path: Path, url: str) -> None:
    if url.startswith("memory"):
        url = str(tmp_path / "letter.db")
        Path(url).write_text("Dear Ann, " * 1000)
        with pytest.raises(StoreUnavailable, match="not a database"), opened(url):
            pass
        return
    Ledger(url, create=True).close()
    with pytest.raises(SchemaMismatch, match="holds no checkpoints of LangGraph"), opened(url):
        pass


def test_tables_from_before_paths_are_read_or_named(stock: Stock, ledger: Ledger) -> None:
    table = "writes" if stock.kind == "sqlite" else "checkpoint_writes"
    if stock.kind == "postgres":
        with psycopg.connect(stock.url, autocommit=True) as db:
            db.execute(f"ALTER TABLE {table} DROP COLUMN task_path".encode())
        with pytest.raises(SchemaMismatch, match="an old langgraph-checkpoint-postgres"):
            brought(stock, ledger)
        return
    stock.execute("ALTER TABLE writes DROP COLUMN task_path")
    before = stock.digest()
    assert set(outcomes(brought(stock, ledger)).values()) == {"copied"}
    assert stock.digest() == before
