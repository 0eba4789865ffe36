"""
What runs inside what.

A run that is cancelled takes the model calls inside with it, and of them LangChain says nothing.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from tallystick_langchain._budget._closing import given_up
from tallystick_langchain._budget._runs import Runs


class Around(BaseCallbackHandler):
    """Follows the runs of chains, tools and retrievers around model calls."""

    def __init__(self) -> None:
        super().__init__()
        self._runs = Runs()

    @property
    def under_way(self) -> int:
        """How many model calls it waits for."""
        return self._runs.calls

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember what it runs inside."""
        self._runs.entered(run_id, parent_run_id)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember what it runs inside."""
        self._runs.entered(run_id, parent_run_id)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember what it runs inside."""
        self._runs.entered(run_id, parent_run_id)

    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._runs.left(run_id)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._runs.left(run_id)

    def on_retriever_end(
        self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Forget the run."""
        self._runs.left(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run, and give up the calls inside if it was cancelled."""
        self._broken(error, run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run, and give up the calls inside if it was cancelled."""
        self._broken(error, run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run, and give up the calls inside if it was cancelled."""
        self._broken(error, run_id)

    def _broken(self, error: BaseException, run: UUID) -> None:
        if isinstance(error, asyncio.CancelledError):
            for one in self._runs.inside(run):
                self._cancelled(one)
        self._runs.left(run)

    def _cancelled(self, run: UUID) -> None:
        if call := self._runs.take(run):
            given_up(call, "it was cancelled")

    def _attach(self, run: UUID) -> Callable[[], object]:
        """Notice when the task that makes the call is cancelled: no run around it need say so."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs here
            task = None
        if task is None:
            return nothing
        tell = functools.partial(_done, weakref.ref(self), run)
        task.add_done_callback(tell)
        return functools.partial(task.remove_done_callback, tell)


def nothing() -> None:
    """Forget no task: there is none."""


def _done(around: weakref.ref[Around], run: UUID, task: asyncio.Task[Any]) -> None:
    alive = around()
    if alive is not None and task.cancelled():
        alive._cancelled(run)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
