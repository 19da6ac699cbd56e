"""The side port: what it must survive."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import monkit_present
from monkit_core import Registry
from monkit_present import server as server_module
from tests.helpers import BOUND_S, fresh_scope, run_python
from tests.http_helpers import PROMPT_S, Wait, ask, connect, eventually, exchange, request, served


@contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


# The handle.


def test_handle_says_where_it_listens() -> None:
    handle = monkit_present.serve(Registry(), port=0)
    try:
        assert handle.error is None
        assert handle.port is not None
        assert handle.url == f"http://127.0.0.1:{handle.port}"
        assert 0 < handle.port < 65536
        assert ask(handle).status == 200
    finally:
        handle.close()
    assert [handle.url, handle.port, handle.error] == [None, None, None]


def test_port_that_is_asked_for_is_the_one_that_listens() -> None:
    port = free_port()
    handle = monkit_present.serve(Registry(), port=port, strict=True)
    try:
        assert handle.port == port
    finally:
        handle.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_loopback_of_version_6_is_served() -> None:
    handle = monkit_present.serve(Registry(), host="::1", port=0, strict=True)
    try:
        assert handle.url == f"http://[::1]:{handle.port}"
        assert ask(handle, host=f"[::1]:{handle.port}").status == 200
    finally:
        handle.close()


def test_two_ports_show_two_registries_at_once() -> None:
    first, scope = fresh_scope("first")
    second, _ = fresh_scope("second")
    scope.func("only_here")
    one, two = monkit_present.serve(first, port=0), monkit_present.serve(second, port=0)
    try:
        assert one.port != two.port
        assert "only_here" in ask(one, "/funcs").text
        assert ask(two, "/funcs").text == ""
        one.close()
        assert ask(two).status == 200
    finally:
        one.close()
        two.close()


def test_server_lives_on_when_its_handle_is_dropped() -> None:
    url = monkit_present.serve(Registry(), port=0).url
    gc.collect()
    (running,) = (server for server in server_module._servers if server.url == url)
    assert ask(running).status == 200
    running.close()


# A port that cannot be had.


def test_taken_port_is_on_the_handle_and_in_one_log_line_and_the_program_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with taken_port() as port:
        handle = monkit_present.serve(Registry(), port=port)
    assert isinstance(handle.error, OSError)
    assert handle.error.errno == errno.EADDRINUSE
    assert (handle.url, handle.port) == (None, None)
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "monkit.present")
    assert f"no debug port on 127.0.0.1:{port}: " in record.getMessage()
    handle.close()


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        ("127.0.0.1", 65536, OverflowError),
        ("127.0.0.1", 70_000, OverflowError),
        ("127.0.0.1", -1, OverflowError),
        ("no.such.host.invalid", 0, OSError),
        ("", 0, OSError),
        ("a..b", 0, UnicodeError),
        ("x" * 70, 0, UnicodeError),
    ],
)
def test_address_that_is_none_is_on_the_handle_too(
    host: str, port: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if host.endswith(".invalid"):

        def unknown(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    handle = monkit_present.serve(Registry(), host=host, port=port)
    assert isinstance(handle.error, kind)
    assert handle.url is None
    assert len(caplog.records) == 1
    with pytest.raises(kind):
        monkit_present.serve(Registry(), host=host, port=port, strict=True)


def test_path_that_is_none_is_on_the_handle_too(caplog: pytest.LogCaptureFixture) -> None:
    handle = monkit_present.serve(Registry(), unix=9000)  # type: ignore[arg-type]
    assert isinstance(handle.error, TypeError)
    assert len(caplog.records) == 1


def test_strict_raises_and_leaves_nothing_open() -> None:
    before = set(server_module._servers)
    with taken_port() as port, pytest.raises(OSError, match="in use"):
        monkit_present.serve(Registry(), port=port, strict=True)
    gc.collect()
    assert set(server_module._servers) == before


def test_system_without_a_thread_left_is_on_the_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        handle = monkit_present.serve(Registry(), port=0)
        with pytest.raises(RuntimeError):
            monkit_present.serve(Registry(), port=0, strict=True)
    assert isinstance(handle.error, RuntimeError)
    assert (handle.url, handle.port) == (None, None)
    handle.close()


# Closing.


def test_close_twice_does_no_harm() -> None:
    handle = monkit_present.serve(Registry(), port=0)
    handle.close()
    handle.close()
    assert handle.error is None


def test_close_right_after_the_start_ends_the_thread() -> None:
    before = threading.active_count()
    for _ in range(20):
        monkit_present.serve(Registry(), port=0).close()
    assert eventually(lambda: threading.active_count() == before)


def test_close_from_other_threads_at_once_ends_it_once() -> None:
    handle = monkit_present.serve(Registry(), port=0)
    threads = [threading.Thread(target=handle.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert (handle.url, handle.error) == (None, None)


def test_handler_of_a_signal_can_close_it_while_its_thread_does() -> None:
    handle = monkit_present.serve(Registry(), port=0)

    def close_in_close() -> None:
        with handle._lock:  # as when the signal comes right there
            handle.close()

    thread = threading.Thread(target=close_in_close, daemon=True)
    thread.start()
    thread.join(PROMPT_S)
    assert not thread.is_alive()
    handle.close()
    assert (handle.url, handle.error) == (None, None)


def test_closed_port_can_be_taken_again_at_once() -> None:
    first = monkit_present.serve(Registry(), port=0)
    port = first.port
    assert port is not None
    assert ask(first).status == 200
    first.close()
    second = monkit_present.serve(Registry(), port=port)
    assert second.error is None
    second.close()


def test_close_returns_within_a_second_whatever_clients_do() -> None:
    """Open waits, idle connections, a half-sent request, a client that reads nothing of a large page."""
    registry, scope = fresh_scope()
    scope.func("handle")
    for number in range(2000):
        scope.func(f"function_{number:04d}")
    with served(registry) as server, ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(Wait(server, "/trace/svg?regex=handle"))
            clients.enter_context(connect(server))
            clients.enter_context(connect(server)).sendall(b"GET / HTTP/1.1\r\nHo")
            deaf = clients.enter_context(connect(server))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(request(server, "/funcs") * 3)
        assert ask(server).status == 200
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < PROMPT_S
        assert eventually(lambda: not server._state.connections, PROMPT_S)


def test_waits_leave_half_of_the_room_of_a_process_that_may_open_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    registry, scope = fresh_scope()
    scope.func("handle")
    with monkeypatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda which: (16, resource.RLIM_INFINITY))
        handle = monkit_present.serve(registry, port=0, strict=True)
    try:
        with ExitStack() as clients:
            for _ in range(4):
                clients.enter_context(Wait(handle, "/trace/json?regex=handle"))
            assert ask(handle, "/trace/json?regex=handle").text == "Too Many Requests: 4 captures wait already\n"
            assert ask(handle, "/funcs").status == 200
    finally:
        handle.close()


def test_close_does_not_wait_for_a_gauge_that_hangs() -> None:
    registry, scope = fresh_scope()
    called, release = threading.Event(), threading.Event()

    def hang() -> float:
        called.set()
        release.wait(BOUND_S)
        return 0.0

    scope.gauge("hangs", hang)
    with served(registry) as server, connect(server) as client:
        client.sendall(request(server, "/stats"))
        assert called.wait(BOUND_S)
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < PROMPT_S
        release.set()


# The program around it.


def test_port_answers_while_the_program_s_own_event_loop_is_blocked() -> None:
    registry, scope = fresh_scope()
    blocked, release = threading.Event(), threading.Event()

    async def program() -> None:
        with scope.task("handle"):
            blocked.set()
            release.wait(BOUND_S)  # blocks the loop, on purpose

    thread = threading.Thread(target=lambda: asyncio.run(program()))
    with served(registry) as server:
        thread.start()
        try:
            assert blocked.wait(BOUND_S)
            assert "shop.handle() (elapsed: " in ask(server, "/ps").text
            assert ask(server, "/stats/json").status == 200
        finally:
            release.set()
            thread.join(BOUND_S)


def test_program_s_uvicorn_loggers_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio", "")

    def state() -> list[Any]:
        loggers = [logging.getLogger(name) for name in names]
        return [
            (item.level, list(item.handlers), item.propagate, item.disabled, list(item.filters)) for item in loggers
        ]

    before = state()
    caplog.set_level(logging.DEBUG, "uvicorn")
    with served(Registry()) as server:
        ask(server)
        exchange(server, b"nonsense\r\n\r\n")
    caplog.set_level(logging.NOTSET, "uvicorn")
    assert state() == before
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_program_that_configures_our_loggers_does_not_make_uvicorn_speak_through_them() -> None:
    script = """
        import logging.config, socket, sys, monkit_core, monkit_present
        loggers = {name: {"level": 1, "handlers": ["out"]} for name in ("monkit", "monkit.present")}
        handlers = {"out": {"class": "logging.StreamHandler", "stream": sys.stdout}}
        logging.config.dictConfig({"version": 1, "handlers": handlers, "loggers": loggers})
        handle = monkit_present.serve(monkit_core.Registry(), port=0, strict=True)
        with socket.create_connection(("127.0.0.1", handle.port), timeout=30) as client:
            client.sendall(b"nonsense" + bytes((13, 10, 13, 10)))
            print(client.recv(12).decode())
        handle.close()
    """
    assert run_python("-c", textwrap.dedent(script)) == "HTTP/1.1 400"


def test_loop_of_the_port_never_logs_how_long_a_page_took(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Touchy(asyncio.SelectorEventLoop):
        """In its debug mode, and every callback is a slow one."""

        def __init__(self) -> None:
            super().__init__()
            self.set_debug(True)
            self.slow_callback_duration = 0.0

    monkeypatch.setattr(asyncio, "SelectorEventLoop", Touchy)
    with served(Registry()) as server:
        assert ask(server).status == 200
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize(("name", "value"), [("WEB_CONCURRENCY", "auto"), ("FORWARDED_ALLOW_IPS", "*")])
def test_environment_that_is_meant_for_the_program_s_own_uvicorn_is_not_heeded(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with served(Registry()) as server:
        page = ask(server, headers=[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")])
        assert page.status == 200
        assert f"https://localhost:{server.port}" not in page.text


def test_server_thread_that_dies_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(app: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(server_module, "settings", fail)
    handle = monkit_present.serve(Registry(), port=0)
    assert eventually(lambda: handle.error is not None)
    assert isinstance(handle.error, MemoryError)
    assert handle.url is None
    assert eventually(lambda: bool(caplog.records))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "the debug port ended: MemoryError('none left')")
    handle.close()
    assert isinstance(handle.error, MemoryError)


def test_importing_opens_nothing_and_starts_nothing() -> None:
    script = """
        import socket, threading
        made = []
        socket.socket.bind = lambda *_: made.append("bind")
        socket.socket.listen = lambda *_: made.append("listen")
        import logging
        handlers = [list(logging.getLogger(name).handlers) for name in ("", "uvicorn", "monkit", "monkit.present")]
        import monkit_present
        assert handlers == [[]] * 4
        assert not any(logging.getLogger(name).handlers for name in ("", "uvicorn", "monkit", "monkit.present"))
        print(made, threading.active_count())
    """
    assert run_python("-c", textwrap.dedent(script)) == "[] 1"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "h11", "orjson", "graphviz"])
def test_import_without_the_extra_says_which_to_install(missing: str) -> None:
    script = f"""
        import importlib.abc, sys

        class Hide(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] == {missing!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Hide())
        try:
            import monkit_present
        except ModuleNotFoundError as problem:
            print(problem, "|", problem.name)
    """
    said = run_python("-c", textwrap.dedent(script))
    words, _, name = said.partition(" | ")
    assert name.partition(".")[0] == missing
    assert words == f"monkit_present needs {name}; install it with: pip install 'monkit-py[present]'"


def test_import_that_fails_for_another_reason_says_that_one() -> None:
    script = """
        import sys
        sys.modules["email.utils"] = None
        try:
            import monkit_present
        except ModuleNotFoundError as problem:
            print(problem)
    """
    assert "pip install" not in run_python("-c", textwrap.dedent(script))


def test_promised_names_are_there() -> None:
    assert set(monkit_present.__all__) == {"Server", "app", "new_token", "serve"}
    assert all(getattr(monkit_present, name).__doc__ for name in monkit_present.__all__)
