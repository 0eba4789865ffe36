"""
An agent that charges an order, in a process of its own that may be killed at a named moment.

Started again it resumes from its checkpoint, or from the beginning where it has none. With
``--nursery`` it forks such a process for each line of arguments: importing takes most of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from tallystick import EffectInDoubt, Guarantee, Ledger, Policy, ProbeAnswer, current_effect
from tallystick_langchain import wrap_tools
from tests.adapters.langchain_agents import agent_of, once, said


class FileSaver(InMemorySaver):
    """Keeps its checkpoints in a file, like a saver with a database does."""

    def __init__(self, path: Path) -> None:
        cast("Any", super()).__init__()
        self._path = path
        self._lock = threading.Lock()
        if path.exists():
            storage, writes, blobs = pickle.loads(path.read_bytes())  # noqa: S301 - our own file
            for name, spaces in storage.items():
                self.storage[name].update(spaces)
            self.writes.update(writes)
            self.blobs.update(blobs)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> RunnableConfig:
        saved = super().put(config, checkpoint, metadata, new_versions)
        self._save()
        return saved

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        super().put_writes(config, writes, task_id, task_path)
        self._save()

    def _save(self) -> None:
        with self._lock:
            storage = {name: dict(spaces) for name, spaces in self.storage.items()}
            kept = pickle.dumps((storage, dict(self.writes), dict(self.blobs)))
            new = self._path.with_suffix(".new")
            new.write_bytes(kept)
            new.replace(self._path)


def die() -> None:
    """Be gone, as after ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


class DiesAfterTheRecord(BaseCallbackHandler):
    """Kills the process when the ledger knows the result and the checkpoint does not."""

    raise_error = True

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        die()


def request(url: str, data: Any = None, **headers: str) -> Any:
    """The answer of the bank."""
    body = None if data is None else json.dumps(data).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(url, data=body, headers=named)  # noqa: S310 - our own bank
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def policy_of(url: str, guarantee: Guarantee) -> Policy:
    """What the tool declares."""

    def probe(effect: Any) -> ProbeAnswer:
        found = request(f"{url}/charges/{effect.key}")
        if not found:
            return ProbeAnswer.not_happened()
        return ProbeAnswer.happened(f"charged {found[0]['order']} as {found[0]['id']}")

    if guarantee is Guarantee.RECONCILE:
        return Policy(guarantee=guarantee, probe=probe, quiet=0.05)
    return Policy(guarantee=guarantee)


def tools_of(args: argparse.Namespace, ledger: Ledger | None) -> list[Any]:
    """The tool that charges, with a ledger or without."""
    guarantee = Guarantee(args.guarantee)

    def charge(order: str, cents: int) -> str:
        """Charge an order."""
        if args.die == "before":
            die()
        key = current_effect().key if ledger is not None else ""
        headers = {"Idempotency_Key": key} if guarantee is Guarantee.IDEMPOTENT and key else {}
        wanted = {"order": order, "cents": cents}
        charged = request(f"{args.bank}/charge", wanted, X_Request=key, **headers)
        if args.die == "after":
            die()
        return f"charged {charged['order']} as {charged['id']}"

    if ledger is None:
        return [charge]
    policy = policy_of(args.bank, guarantee)
    if args.forgetful:
        policy = policy.but(identity=("order",))
    return wrap_tools([charge], ledger, policies={"charge": policy})


def run(args: argparse.Namespace, ledger: Ledger | None) -> str:
    """Run or resume the agent, and return its last word."""
    saver = InMemorySaver() if args.forgetful else FileSaver(args.place / "checkpoints")
    script = once(("charge", {"order": "A-1", "cents": 500}))
    agent = agent_of(tools_of(args, ledger), script, checkpointer=saver)
    config: RunnableConfig = {"configurable": {"thread_id": "order A-1"}}
    given = None if agent.get_state(config).next else said()
    if args.die == "recorded":
        config["callbacks"] = [DiesAfterTheRecord()]
    if args.asynchronous:
        result = asyncio.run(agent.ainvoke(given, config, durability="sync"))
    else:
        result = agent.invoke(given, config, durability="sync")
    return str(result["messages"][-1].content)


def main(arguments: Sequence[str]) -> int:
    """Print the agent's last word, or the key of what is in doubt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("bank")
    parser.add_argument("--guarantee", default="at_most_once")
    parser.add_argument("--die", choices=["before", "after", "recorded"])
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--forgetful", action="store_true", help="no checkpoint survives")
    parser.add_argument("--unprotected", action="store_true", help="no ledger")
    args = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        ledger = None
        if not args.unprotected:
            ledger = stack.enter_context(Ledger(f"sqlite:///{args.place / 'ledger.db'}"))
        try:
            print(run(args, ledger))
        except EffectInDoubt as doubt:
            print(doubt.key)
            return 3
    return 0


def forked(arguments: Sequence[str]) -> dict[str, Any]:
    """How a process with these arguments ended, and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            code = main(arguments)
        except BaseException:  # noqa: BLE001 - the parent reads it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said_:
        said = said_.read()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "said": said}


def nursery() -> None:
    """Fork a process for each line of standard input."""
    with tempfile.TemporaryDirectory() as place:
        Ledger(f"sqlite:///{place}/warm.db").close()  # loads what opening loads
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--nursery"]:
        nursery()
    else:
        sys.exit(main(sys.argv[1:]))
