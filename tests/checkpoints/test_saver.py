"""What a saver promises beyond LangGraph's suite, with real graphs where they show it."""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs]
    END,
    START,
    MessagesState,
    StateGraph,
)
from langgraph.types import Command, interrupt

from tallystick import Ledger, Retry
from tallystick._checkpoints import ReadCheckpoints, thread_key
from tallystick.errors import CheckpointDamaged, InvalidCall, ThreadDeleted
from tallystick_checkpoint import LedgerSaver
from tests.checkpoints._acts import store_of

A: Any = {"configurable": {"thread_id": "a"}}


def config(thread: Any = "a", ns: str = "", id_: str | None = None, **more: Any) -> Any:
    """Where a checkpoint is."""
    conf = {"thread_id": thread, "checkpoint_ns": ns, **more}
    return {"configurable": conf if id_ is None else {**conf, "checkpoint_id": id_}}


def put(saver: LedgerSaver, where: Any, n: int, values: dict[str, Any], **metadata: Any) -> Any:
    """Keep a checkpoint with the number *n* whose channels all are new."""
    versions = dict.fromkeys(values, f"{n}.0")
    checkpoint = {
        **empty_checkpoint(),
        "id": f"{n:08}",
        "channel_values": values,
        "channel_versions": versions,
    }
    return saver.put(where, cast("Any", checkpoint), cast("Any", metadata), cast("Any", versions))


def echo(state: MessagesState) -> dict[str, Any]:
    """An agent that says as much as it was told."""
    return {"messages": [AIMessage(f"I heard {state['messages'][-1].content}")]}


def chat(saver: BaseCheckpointSaver[Any]) -> Any:
    """A graph of one node."""
    graph: Any = StateGraph(MessagesState)
    graph.add_node("echo", echo)
    graph.add_edge(START, "echo")
    graph.add_edge("echo", END)
    return graph.compile(checkpointer=saver)


def said(text: str) -> dict[str, Any]:
    """An input."""
    return {"messages": [HumanMessage(text)]}


def rows(saver: LedgerSaver, thread: str = "a") -> Any:
    """A thread's checkpoints as they are stored."""
    store = store_of(saver.ledger)
    key = thread_key(saver.ledger.tenant, thread)
    return store.read(ReadCheckpoints(tenant=saver.ledger.tenant, key=key))


def steps(found: Any) -> int:
    """The step that a checkpoint says it is."""
    return int(found.metadata["step"])


# -- conversations ---------------------------------------------------------------------------------


def test_a_conversation_is_there_after_the_process_that_had_it(url: str) -> None:
    """Another ledger on the same database reads what the first one kept."""
    with Ledger(url, create=True) as first:
        chat(LedgerSaver(first)).invoke(said("one"), A)
        with Ledger(url) as second:
            found = chat(LedgerSaver(second)).invoke(said("two"), A)
    assert [m.content for m in found["messages"]] == ["one", "I heard one", "two", "I heard two"]


async def test_both_faces_go_on_with_each_others_threads(saver: LedgerSaver) -> None:
    """One saver serves a blocking and an awaiting graph."""
    graph = chat(saver)
    await graph.ainvoke(said("one"), A)
    graph.invoke(said("two"), A)
    history = [state async for state in graph.aget_state_history(A)]
    assert [s.config for s in history] == [s.config for s in graph.get_state_history(A)]
    assert len(history[0].values["messages"]) == 4


def test_an_interrupted_graph_is_resumed_by_another_process(url: str) -> None:
    """The answer reaches the node that asked."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(interrupt("really?"))]}

    def graph(ledger: Ledger) -> Any:
        made: Any = StateGraph(MessagesState)
        made.add_node("ask", ask)
        made.add_edge(START, "ask")
        return made.compile(checkpointer=LedgerSaver(ledger))

    with Ledger(url, create=True) as first, Ledger(url) as second:
        asked = graph(first).invoke(said("go"), A)
        assert [i.value for i in asked["__interrupt__"]] == ["really?"]
        found = graph(second).invoke(Command(resume="yes"), A)
    assert found["messages"][-1].content == "yes"


def test_the_same_invocation_sent_again_goes_on_with_the_first(saver: LedgerSaver) -> None:
    """That needs the run's id, which the caller gives, in the checkpoint's metadata."""
    graph = chat(saver)
    once: Any = {**A, "metadata": {"run_id": "r-1"}}
    graph.invoke(said("one"), once)
    assert len(graph.invoke(said("one"), once)["messages"]) == 2
    assert {row.run for row in rows(saver)} == {"r-1"}


def test_a_thread_may_be_a_number(saver: LedgerSaver) -> None:
    """LangGraph makes it a string for the saver; so does a saver that is asked directly."""
    put(saver, config(7), 1, {"x": 1})
    assert saver.get_tuple(config("7")) is not None
    chat(saver).invoke(said("one"), config(8))
    assert saver.get_tuple(config("8")) is not None


def test_a_config_without_a_thread_is_refused(saver: LedgerSaver) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidCall, match="thread_id"):
        saver.get_tuple({"configurable": {}})
    with pytest.raises(InvalidCall, match="is no ledger"):
        LedgerSaver(cast("Any", "sqlite:///x.db"))


def test_tenants_do_not_see_each_other(url: str) -> None:
    """Nor can one delete what is another's."""
    with Ledger(url, create=True, tenant="x") as x, Ledger(url, tenant="y") as y:
        put(LedgerSaver(x), config(), 1, {"x": 1}, run_id="r")
        other = LedgerSaver(y)
        assert other.get_tuple(config()) is None
        assert list(other.list(None)) == []
        other.delete_thread("a")
        other.delete_for_runs(["r"])
        assert LedgerSaver(x).get_tuple(config()) is not None


# -- what it takes ---------------------------------------------------------------------------------


def test_a_conversation_takes_what_was_said_and_not_its_square(tmp_path: Path) -> None:
    """Forty turns of 1.5 kB, where the stock SQLite saver takes 10.2 MB."""
    path = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        graph = chat(LedgerSaver(ledger))
        for _ in range(40):
            graph.invoke(said(os.urandom(750).hex()), A)
    with sqlalchemy.create_engine(f"sqlite:///{path}").connect() as db:
        db.execute(sqlalchemy.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        blobs = db.execute(sqlalchemy.text("SELECT count(*) FROM tallystick_blob")).scalar_one()
    assert path.stat().st_size < 10_200_000 / 5
    assert blobs <= 2 * 80 + 2


def test_a_list_comes_back_as_it_was(saver: LedgerSaver) -> None:
    """With repeated, empty and nested elements, and lists that are stored whole."""
    values: dict[str, Any] = {
        "messages": [HumanMessage("x" * 300, id="1"), AIMessage("y", id="2"), HumanMessage("z")],
        "twice": [{"k": "v" * 300}, {"k": "v" * 300}, [], None, {"k": "w"}],
        "numbers": list(range(1000)),
        "one": [["deep", ["er"]]],
        "none": [],
        "text": "t" * 5000,
    }
    where = put(saver, config(), 1, values)
    for reader in (saver, LedgerSaver(saver.ledger)):
        found = reader.get_tuple(where)
        assert found is not None
        assert found.checkpoint["channel_values"] == values


def test_a_channel_that_is_gone_does_not_come_back(saver: LedgerSaver) -> None:
    """And one that has a version and no value stays without."""
    first = put(saver, config(), 1, {"x": "x" * 300, "y": "y" * 300})
    checkpoint = cast("Any", saver.get_tuple(first)).checkpoint
    checkpoint |= {"id": "00000002", "channel_values": {}, "channel_versions": {"z": "2.0"}}
    second = saver.put(first, checkpoint, cast("Any", {}), {"z": "2.0"})
    assert cast("Any", saver.get_tuple(second)).checkpoint["channel_values"] == {}


def test_the_stored_pieces_are_named_by_the_next_checkpoint(saver: LedgerSaver) -> None:
    """Also by a saver that did not write them, and that has pruned what named them first."""
    values = {"x": "x" * 300, "y": "y" * 300}
    first = put(saver, config(), 1, values)
    other = LedgerSaver(saver.ledger)
    checkpoint = {**cast("Any", other.get_tuple(first)).checkpoint, "id": "00000002"}
    second = other.put(first, cast("Any", checkpoint), cast("Any", {}), {})
    assert cast("Any", saver.get_tuple(second)).checkpoint["channel_values"] == values
    saver.prune(["a"])
    assert cast("Any", other.get_tuple(second)).checkpoint["channel_values"] == values
    # the first saver does not know that its checkpoint is gone
    third = saver.put(first, cast("Any", {**checkpoint, "id": "00000003"}), cast("Any", {}), {})
    fresh = LedgerSaver(saver.ledger).get_tuple(third)
    assert cast("Any", fresh).checkpoint["channel_values"] == values


# -- deletion --------------------------------------------------------------------------------------


def test_a_run_does_not_bring_its_deleted_thread_back(saver: LedgerSaver) -> None:
    """It ends with an error; a new invocation begins a new thread."""

    def work(state: MessagesState) -> dict[str, Any]:
        saver.delete_thread("a")
        return echo(state)

    graph: Any = StateGraph(MessagesState)
    graph.add_node("work", work)
    graph.add_node("more", echo)
    graph.add_edge(START, "work")
    graph.add_edge("work", "more")
    with pytest.raises(ThreadDeleted, match="was deleted while something ran") as caught:
        graph.compile(checkpointer=saver).invoke(said("one"), A)
    assert caught.value.thread == "a"
    assert (saver.get_tuple(config()), rows(saver)) == (None, [])
    assert len(chat(saver).invoke(said("two"), A)["messages"]) == 2


def test_late_writes_of_a_deleted_thread_are_dropped(saver: LedgerSaver) -> None:
    """And those of its subgraphs, which have no parent of their own."""
    root = put(saver, config(), 1, {"x": 1})
    saver.delete_thread("a")
    saver.put_writes(root, [("x", 2)], "task")
    late = config(ns="sub:1", checkpoint_map={"": "00000001"})
    with pytest.raises(ThreadDeleted):
        put(saver, late, 2, {"x": 1})
    put(saver, config(), 3, {"x": 1})
    assert cast("Any", saver.get_tuple(config())).pending_writes == []
    assert [row.id for row in rows(saver)] == ["00000003"]


def test_a_copied_thread_has_the_turns_of_the_first(saver: LedgerSaver) -> None:
    """What was done in a turn was done, whatever the thread is called now."""
    graph = chat(saver)
    graph.invoke(said("one"), A)
    turns = {row.id: row.turn for row in rows(saver)}
    assert len(set(turns.values())) == 1
    saver.copy_thread("a", "b")
    assert {row.id: row.turn for row in rows(saver, "b")} == turns
    graph.invoke(said("two"), config("b"))
    assert len({row.turn for row in rows(saver, "b")}) == 2
    with pytest.raises(InvalidCall, match="to itself"):
        saver.copy_thread("a", "a")


def test_a_copy_and_its_source_have_each_their_own_writes(saver: LedgerSaver) -> None:
    """Also where both are listed at once, with the same ids."""
    saver.put_writes(put(saver, config(), 1, {"x": 1}), [("x", 2)], "task")
    saver.copy_thread("a", "b")
    found: list[Any] = list(saver.list(None))
    assert [t.pending_writes for t in found] == [[("task", "x", 2)]] * 2


def test_a_turn_is_inherited_along_forks_and_updates(saver: LedgerSaver) -> None:
    """By parents, not by time: going back to the first turn is being in the first turn."""
    graph = chat(saver)
    graph.invoke(said("one"), A)
    first = rows(saver)[0]
    graph.invoke(said("two"), A)
    fork = graph.update_state(config(id_=first.id), {"messages": [HumanMessage("instead")]})
    row = next(r for r in rows(saver) if r.id == fork["configurable"]["checkpoint_id"])
    assert row.turn == first.turn != rows(saver)[1].turn


def test_pruning_keeps_what_the_thread_needs(saver: LedgerSaver) -> None:
    """The newest checkpoint of a namespace, and of subgraphs only those still at work."""
    head = put(saver, config(), 1, {"x": 1})
    put(saver, config(ns="done:1"), 2, {"x": 1}, parents={"": "00000000"})
    head = put(saver, head, 3, {"x": 2})
    put(saver, config(ns="busy:2"), 4, {"x": 1}, parents={"": "00000003"})
    saver.put_writes(head, [("x", 3)], "task")
    saver.prune(["a", "nowhere"])
    assert {(r.ns, r.id, r.parent) for r in rows(saver)} == {
        ("", "00000003", None), ("busy:2", "00000004", None),
    }  # fmt: skip
    assert cast("Any", saver.get_tuple(head)).pending_writes == [("task", "x", 3)]
    with pytest.raises(InvalidCall, match="keep_latest"):
        saver.prune(["a"], strategy="some")
    saver.prune(["a"], strategy="delete")
    assert rows(saver) == []


def test_pruning_keeps_the_chain_of_a_channel_that_stores_only_what_was_added(
    saver: LedgerSaver,
) -> None:
    """Dropping it would empty the channel without a word."""
    counters = {"log": [1, 1]}
    where = put(saver, config(), 1, {"x": 1})
    where = put(saver, where, 2, {"log": ["whole"], "x": 1})
    saver.put_writes(where, [("log", "two")], "t2")
    where = put(saver, where, 3, {"x": 2}, counters_since_delta_snapshot=counters)
    saver.put_writes(where, [("log", "three")], "t3")
    where = put(saver, where, 4, {"x": 3}, counters_since_delta_snapshot=counters)
    before = saver.get_delta_channel_history(config=where, channels=["log"])
    saver.prune(["a"])
    assert [r.id for r in rows(saver)] == ["00000004", "00000003", "00000002"]
    after = saver.get_delta_channel_history(config=where, channels=["log"])
    assert after == before
    assert after["log"].get("seed") == ["whole"]
    assert [value for _, _, value in after["log"]["writes"]] == ["two", "three"]


# -- order, safety, secrets ------------------------------------------------------------------------


def test_writes_are_in_the_order_of_their_tasks_paths(saver: LedgerSaver) -> None:
    """LangGraph passes the path only to a method whose parameter has its name."""
    assert "task_path" in inspect.signature(LedgerSaver.put_writes).parameters
    assert "task_path" in inspect.signature(LedgerSaver.aput_writes).parameters
    where = put(saver, config(), 1, {"x": 1})
    for task, path in (("a", "p~2"), ("b", "P~3"), ("c", "p~1"), ("d", ""), ("e", "É")):
        saver.put_writes(where, [("x", task), ("y", task)], task, task_path=path)
    found = cast("Any", saver.get_tuple(where)).pending_writes
    assert [task for task, channel, _ in found if channel == "x"] == ["d", "b", "c", "a", "e"]
    assert [channel for _, channel, _ in found] == ["x", "y"] * 5


def test_a_graph_may_write_while_somebody_lists(saver: LedgerSaver) -> None:
    """No lock is held between two results."""
    graph = chat(saver)
    graph.invoke(said("one"), A)
    listing = saver.list(A)
    next(listing)
    writer = threading.Thread(target=graph.invoke, args=(said("two"), A))
    writer.start()
    writer.join(20)
    assert not writer.is_alive()
    assert len([*listing]) == 2


def test_what_is_read_makes_no_object_of_an_unknown_class(saver: LedgerSaver) -> None:
    """LangGraph's own serializer would, unless an environment variable says otherwise."""
    where = put(saver, config(), 1, {"x": Retry(attempts=2), "y": AIMessage("fine")})
    found = cast("Any", saver.get_tuple(where)).checkpoint["channel_values"]
    assert found["y"] == AIMessage("fine")
    assert not isinstance(found["x"], Retry)
    serde = JsonPlusSerializer(allowed_msgpack_modules=[("tallystick._policy", "Retry")])
    allowed = LedgerSaver(saver.ledger, serde=serde)
    assert cast("Any", allowed.get_tuple(where)).checkpoint["channel_values"]["x"] == Retry(
        attempts=2
    )


def test_a_graph_adds_its_own_types_to_a_copy(saver: LedgerSaver) -> None:
    """The copy shares what the saver knows, and the saver stays as closed as it was."""
    copy = cast("LedgerSaver", saver.with_allowlist([("builtins", "dict")]))
    where = put(copy, config(), 1, {"x": "x" * 300})
    assert cast("Any", saver.get_tuple(where)).checkpoint["channel_values"] == {"x": "x" * 300}
    assert vars(copy)["_memory"] is vars(saver)["_memory"]
    assert cast("Any", saver.serde)._allowed_msgpack_modules is None


class Stream:
    """A cipher that is different each time, as a good one is."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(16)
        return "stream", nonce + self._mixed(nonce, plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "stream"
        return self._mixed(ciphertext[:16], ciphertext[16:])

    def _mixed(self, nonce: bytes, data: bytes) -> bytes:
        key = b"".join(
            hashlib.sha256(b"secret" + nonce + bytes([n])).digest()
            for n in range(len(data) // 32 + 1)
        )
        return bytes(a ^ b for a, b in zip(data, key, strict=False))


def test_what_is_encrypted_is_stored_once_by_a_process_and_read_by_others(ledger: Ledger) -> None:
    """Nothing of it stands anywhere in clear."""
    serde = EncryptedSerializer(Stream(), LedgerSaver.closed())
    saver = LedgerSaver(ledger, serde=serde)
    graph = chat(saver)
    for text in ("the first secret " * 20, "the second secret " * 20):
        graph.invoke(said(text), A)
    stored = repr(rows(saver))
    assert "secret" not in stored
    found = chat(LedgerSaver(ledger, serde=serde)).get_state(A)
    assert len(found.values["messages"]) == 4
    ids = {row.vals for row in rows(saver)}
    assert ids
    store = store_of(ledger)
    if hasattr(store, "_shelf"):
        blobs = store._shelf.threads.blobs[thread_key(ledger.tenant, "a")]
        assert len(blobs) <= 2 * 4 + 2
        assert all(b"secret" not in blob.data for blob in blobs.values())


@pytest.mark.parametrize(
    "deed",
    [
        "DELETE FROM tallystick_blob",
        "UPDATE tallystick_blob SET data = (SELECT max(data) FROM tallystick_blob)",
    ],
)
def test_a_damaged_checkpoint_is_an_error_and_no_other_state(tmp_path: Path, deed: str) -> None:
    """It names the thread, the checkpoint and the channel."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger(url) as ledger:
        put(LedgerSaver(ledger), config(), 1, {"x": ["a" * 300, {"b": "b" * 300}]})
        with sqlalchemy.create_engine(url).begin() as db:
            db.execute(sqlalchemy.text(deed))
        with pytest.raises(CheckpointDamaged, match=r"00000001 of thread 'a'.* x is not") as caught:
            LedgerSaver(ledger).get_tuple(config())
    assert caught.value.thread == "a"


def test_versions_grow_as_text(saver: LedgerSaver) -> None:
    """And those of forks differ."""
    versions = [saver.get_next_version(None, None)]
    for _ in range(20):
        versions.append(saver.get_next_version(versions[-1], None))
    assert versions == sorted(versions)
    assert len({saver.get_next_version(versions[-1], None) for _ in range(20)}) == 20


def test_branches_of_one_parent_keep_their_own_values(saver: LedgerSaver) -> None:
    """Both go on from what they share."""
    graph = chat(saver)
    graph.invoke(said("one"), A)
    base = cast("Any", saver.get_tuple(config())).config
    left = graph.update_state(base, {"messages": [HumanMessage("left")]})
    right = graph.update_state(base, {"messages": [HumanMessage("right")]})
    fresh = LedgerSaver(saver.ledger)
    for where, text in ((left, "left"), (right, "right")):
        found = cast("Any", fresh.get_tuple(where)).checkpoint["channel_values"]["messages"]
        assert [m.content for m in found] == ["one", "I heard one", text]


def test_lists_are_filtered_beyond_the_first_page(saver: LedgerSaver) -> None:
    """A limit counts what fits."""
    where = config()
    for n in range(1, 451):
        where = put(saver, where, n, {"x": n}, source="input" if n % 150 == 0 else "loop", step=n)
    assert [steps(t) for t in saver.list(A, filter={"source": "input"})] == [
        450, 300, 150,
    ]  # fmt: skip
    assert len(list(saver.list(A, filter={"source": "input"}, limit=2))) == 2
    assert list(saver.list(A, filter={"source": "nothing"})) == []
    found = saver.list(A, before=config(id_="00000003"), filter={"source": "loop"})
    assert [steps(t) for t in found] == [2, 1]
