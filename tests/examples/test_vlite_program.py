"""``python examples/vlite.py`` as a program: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import pytest

from tests.helpers import BOUND_S, ROOT

STRICT = (sys.executable, "-X", "dev", "-W", "error", str(ROOT / "examples" / "vlite.py"))


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, BOUND_S))


class Program:
    """A running VLite: the process, what it printed, and where it listens."""

    def __init__(self, process: Process, guide: str) -> None:
        self.process = process
        self.guide = guide
        self.url, *others = re.findall(r"(?:listens|itself) on (http://\S+)", guide)
        self.debug_url = others[0] if others else None

    async def stop(self, number: signal.Signals) -> tuple[int | None, str]:
        """Exit code and standard error after a signal."""
        self.process.send_signal(number)
        _, complaints = await self.process.communicate()
        # Development mode also names callbacks that took long, as many do on a busy machine.
        return self.process.returncode, re.sub(r"(?m)^Executing <.*> took [\d.]+ seconds\n", "", complaints.decode())


@asynccontextmanager
async def program(*options: str) -> AsyncIterator[Program]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(*STRICT, *options, env=environment, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        guide = await process.stdout.readuntil(b"stops it.\n")
        yield Program(process, guide.decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demonstration_answers_explains_itself_and_stops_without_a_word(number: signal.Signals) -> None:
    async def test() -> None:
        async with program("--demo", "--port", "0", "--debug-port", "0") as demo:
            async with httpx.AsyncClient(timeout=BOUND_S, trust_env=False) as client:
                assert (await client.get(f"{demo.url}/fast")).text == "fast\n"
                trace = (await client.get(f"{demo.debug_url}/trace/json?regex=HandleHTTP")).json()
                assert trace[0]["func"] == {"package": "vlite", "name": "VLite.HandleHTTP"}
                for address in re.findall(r"(?:open|curl) '?(http://[^\s']+)", demo.guide):
                    assert (await client.get(address)).status_code == 200, address
            assert await demo.stop(number) == (0, "")

    run(test())


def test_open_requests_do_not_keep_it_from_stopping() -> None:
    async def test() -> None:
        async with (
            program("--port", "0", "--debug-port", "0") as proxy,
            httpx.AsyncClient(timeout=BOUND_S, trust_env=False) as client,
            client.stream("GET", f"{proxy.url}/forever") as response,
        ):
            ticks = response.aiter_text()
            assert await anext(ticks) == "tick 0\n"
            assert await proxy.stop(signal.SIGINT) == (0, "")

    run(test())


def test_a_port_that_is_taken_is_named_in_one_line() -> None:
    async def test() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            process = await asyncio.create_subprocess_exec(
                *STRICT, "--port", str(port), env={"PYTHONPATH": str(ROOT)}, stdout=PIPE, stderr=PIPE
            )
            printed, complaint = await process.communicate()
        assert process.returncode == 1
        assert printed == b""
        assert re.fullmatch(rf"vlite: cannot listen on port {port}, .*\n", complaint.decode())

    run(test())


def test_it_runs_without_a_debug_port_and_says_so() -> None:
    async def test() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            async with program("--port", "0", "--debug-port", str(taken.getsockname()[1])) as proxy:
                assert "without a debug port" in proxy.guide
                async with httpx.AsyncClient(trust_env=False) as client:
                    assert (await client.get(f"{proxy.url}/fast")).text == "fast\n"
                code, _ = await proxy.stop(signal.SIGTERM)
        assert code == 0

    run(test())
