"""The side port and the process it is in: its end, its forks, its workers."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import BOUND_S, ROOT, run_python
from tests.http_helpers import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The end of the interpreter.

EXIT = """
    import socket, monkit_core, monkit_present
    registry = monkit_core.Registry()
    registry.scope("shop").func("handle")
    handle = monkit_present.serve(registry, port=0)
    assert handle.error is None
    clients = []
    for target in {targets}:
        client = socket.create_connection(("127.0.0.1", handle.port), timeout=30)
        client.sendall(f"GET {{target}} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
        assert client.recv(100)
        clients.append(client)
    {end}
    print("done")
"""


@pytest.mark.parametrize("targets", [[], ["/trace/svg?regex=handle", "/trace/json?regex=handle", "/ps"]])
@pytest.mark.parametrize("end", ["", "handle.close()"])
def test_interpreter_exits_without_a_word_with_open_waits(targets: list[str], end: str) -> None:
    script = textwrap.dedent(EXIT).format(targets=targets, end=end)
    # The program's own sockets are closed at its end, or the interpreter would speak of those.
    script += "import atexit\nfor client in clients: atexit.register(client.close)\n"
    assert run_python("-X", "dev", "-c", script) == "done"


def test_open_wait_is_told_when_the_interpreter_exits() -> None:
    script = """
        import sys, monkit_core, monkit_present
        registry = monkit_core.Registry()
        registry.scope("shop").func("handle")
        print(monkit_present.serve(registry, port=0).port, flush=True)
        sys.stdin.readline()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        port = int(program.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as client, client.makefile("rb") as stream:
            client.sendall(b"GET /trace/json?regex=handle HTTP/1.0\r\nHost: localhost\r\n\r\n")
            while stream.readline().strip():
                pass
            assert stream.read(1) == b" "
            program.stdin.write("\n")
            program.stdin.flush()
            assert json.loads(stream.read())["closed"] is True
        assert program.wait(BOUND_S) == 0


def test_interpreter_exits_while_a_gauge_hangs() -> None:
    script = """
        import atexit, socket, threading, monkit_core, monkit_present
        registry = monkit_core.Registry()
        called = threading.Event()
        registry.scope("shop").gauge("hangs", lambda: called.set() or threading.Event().wait())
        handle = monkit_present.serve(registry, port=0)
        client = socket.create_connection(("127.0.0.1", handle.port), timeout=30)
        client.sendall(b"GET /stats HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        assert called.wait(30)
        atexit.register(client.close)
        print("done")
    """
    assert run_python("-c", textwrap.dedent(script)) == "done"


# Forks.

FORK = """
    import os, select, socket, sys, monkit_core, monkit_present

    def ask(port, timeout=30):
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
            client.sendall(b"GET /ps HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
            data = b""
            while piece := client.recv(4096):
                data += piece
        return data[:15].decode()

    registry = monkit_core.Registry()
    registry.scope("shop").func("handle")
    handle = monkit_present.serve(registry, port=0)
    port = handle.port
    waiting = socket.create_connection(("127.0.0.1", port), timeout=30)
    waiting.sendall(b"GET /trace/json?regex=handle&timeout={timeout} HTTP/1.1\\r\\nHost: localhost\\r\\n"
                    b"Connection: close\\r\\n\\r\\n")
    assert waiting.recv(4096)
    told, tell = os.pipe()
    heard, hear = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.write(tell, repr([handle.url, handle.port, str(handle.error)]).encode())
        os.read(heard, 1)  # lives until the parent has looked at everything
        os._exit(0)
    print(os.read(told, 4096).decode())
"""


def fork(script: str, timeout: str = "30") -> list[str]:
    whole = textwrap.dedent(FORK).format(timeout=timeout) + textwrap.dedent(script)
    whole += "\nos.write(hear, b'x')\nassert os.waitpid(child, 0)[1] == 0\nhandle.close()\nwaiting.close()\n"
    return run_python("-c", whole).splitlines()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
FORKED = "[None, None, 'the process was forked; the debug port stayed with its parent']"


@needs_fork
def test_port_stays_with_the_parent_and_the_child_says_so() -> None:
    said = fork("print(handle.error, handle.port == port)\nprint(ask(port))")
    assert said == [FORKED, "None True", "HTTP/1.1 200 OK"]


@needs_fork
def test_child_keeps_no_port_open_when_the_parent_has_closed_it() -> None:
    said = fork(
        """
        handle.close()
        try:
            print(ask(port, 5))
        except OSError as problem:
            print(type(problem).__name__)
        """
    )
    assert said == [FORKED, "ConnectionRefusedError"]


@needs_fork
def test_connection_of_the_parent_closes_for_its_client_while_the_child_lives() -> None:
    said = fork(
        """
        data = b""
        while piece := waiting.recv(4096):
            data += piece
        print(b'"timeout":true' in data)
        """,
        timeout="0.05",
    )
    assert said == [FORKED, "True"]


@needs_fork
def test_child_can_serve_on_a_port_of_its_own_and_end_without_a_word() -> None:
    script = """
        import os, socket, sys, monkit_core, monkit_present
        registry = monkit_core.Registry()
        parent = monkit_present.serve(registry, port=0)
        child = os.fork()
        handle = parent
        if child == 0:
            parent.close()
            handle = monkit_present.serve(registry, port=0)
        with socket.create_connection(("127.0.0.1", handle.port), timeout=30) as client:
            client.sendall(b"GET /ps HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK", handle.error
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("done")
    """
    assert run_python("-X", "dev", "-c", textwrap.dedent(script)) == "done"


PRELOADED = """
    import monkit_core as monkit, monkit_present

    mon = monkit.scope("shop")
    handle = monkit_present.serve(port={port})

    @mon.task("app")
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []
"""

WORKER = """
    import monkit_present
    handle = monkit_present.serve(port={port})

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


# A worker that was only forked still has the handlers of its master, and what it is told to end by is lost.
SETTINGS = """
    def post_worker_init(worker):
        import pathlib, shop_wsgi
        new = pathlib.Path(f"{worker.pid}.new")
        new.write_text(str(shop_wsgi.handle.error))
        new.rename(new.with_suffix(".worker"))
"""


@contextmanager
def gunicorn(folder: Path, module: str, *options: str) -> Iterator[Path]:
    """Two workers of the application in *module*, a source text; gives their socket. Ends with exit code 0."""
    (folder / "shop_wsgi.py").write_text(textwrap.dedent(module))
    (folder / "gunicorn.conf.py").write_text(textwrap.dedent(SETTINGS))
    program, log = folder / "shop.sock", folder / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{folder}", "HOME": str(folder)}
    command = [sys.executable, "-m", "gunicorn", "-w", "2", *options, "-b", f"unix:{program}", "shop_wsgi:app"]
    with log.open("w+b") as out, subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out) as run:
        try:
            assert eventually(lambda: len(list(folder.glob("*.worker"))) == 2), log.read_text()
            yield program
        finally:
            run.send_signal(signal.SIGTERM)
            assert run.wait(BOUND_S) == 0


def notes(folder: Path) -> list[str]:
    """What each worker wrote down about its handle, once it could be told to end."""
    return sorted(note.read_text() for note in folder.glob("*.worker"))


def debug_status(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as client:
        client.sendall(b"GET /funcs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.recv(15)


@needs_fork
def test_both_workers_of_gunicorn_run_and_one_of_them_has_the_port(tmp_path: Path) -> None:
    port = free_port()
    with gunicorn(tmp_path, WORKER.format(port=port)) as program:
        assert notes(tmp_path) == ["None", f"[Errno {errno.EADDRINUSE}] {os.strerror(errno.EADDRINUSE)}"]
        assert unix_status(program) == b"HTTP/1.1 200 OK", (tmp_path / "log").read_text()
        assert debug_status(port) == b"HTTP/1.1 200 OK"
    assert (tmp_path / "log").read_text().count("no debug port on 127.0.0.1") == 1


@needs_fork
def test_preloaded_workers_run_without_the_port_that_their_master_has(tmp_path: Path) -> None:
    port = free_port()
    with gunicorn(tmp_path, PRELOADED.format(port=port), "--preload") as program:
        assert notes(tmp_path) == ["the process was forked; the debug port stayed with its parent"] * 2
        assert unix_status(program) == b"HTTP/1.1 200 OK", (tmp_path / "log").read_text()
        assert debug_status(port) == b"HTTP/1.1 200 OK"


def unix_status(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(BOUND_S)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        return client.recv(15)
