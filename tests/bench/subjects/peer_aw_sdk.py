"""AgentWatch's client (aw-sdk) beside the plain one, against a server on loopback."""

from __future__ import annotations

import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


class Server(BaseHTTPRequestHandler):
    """A model that answers at once, and a guard that always says yes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        said: dict[str, Any] = ANSWER
        if "budget-check" in self.path:
            said = {"exceeded": False, "spent_usd": 0.1, "limit_usd": 1.0}
        elif "ingest" in self.path:
            said = {"ok": True}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nobody reads it."""


def timed(client: Any, calls: int) -> list[float]:
    """Milliseconds of each call."""
    found: list[float] = []
    for _ in range(calls):
        start = time.perf_counter()
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        found.append((time.perf_counter() - start) * 1e3)
    return found


def main() -> None:
    """Print one line of the table."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/v1"
    plain = import_module("openai").OpenAI(api_key="x", base_url=base)
    watched = import_module("agentwatch").WatchedOpenAI(
        api_key="x",
        base_url=base,
        agentwatch_api_key="aw",
        agentwatch_session_id="s",
        agentwatch_session_budget_usd=1.0,
        agentwatch_enforcement_mode=True,
        ingest_url=f"{base}/ingest",
    )
    for client in (plain, watched):
        timed(client, 5)
    without, checked = timed(plain, 60), timed(watched, 60)
    floor = statistics.median(without)
    middle = statistics.median(checked) - floor
    worst = sorted(checked)[int(len(checked) * 0.99)] - floor
    with ThreadPoolExecutor(20) as pool:
        start = time.perf_counter()
        for done in [pool.submit(timed, watched, 1) for _ in range(100)]:
            done.result()
        rate = 100 / (time.perf_counter() - start)
    print(f"| AgentWatch (aw-sdk), check by HTTP | {middle:.1f} / {worst:.1f} | – | {rate:,.0f} |")


if __name__ == "__main__":
    main()
