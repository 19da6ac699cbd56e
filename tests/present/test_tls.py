"""The port under TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import textwrap
import time
from collections.abc import Iterator
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest

import monkit_present
from monkit_core import Registry
from tests.helpers import BOUND_S, fresh_scope, run_python
from tests.http_helpers import PROMPT_S, TOKEN, eventually

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl here to make a certificate with")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    command = [str(OPENSSL), *arguments.split(), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True, timeout=BOUND_S)
    return certificate, key


@pytest.fixture
def registry() -> Registry:
    registry, scope = fresh_scope()
    scope.func("handle")
    return registry


@pytest.fixture
def server(files: tuple[Path, Path], registry: Registry) -> Iterator[monkit_present.Server]:
    handle = monkit_present.serve(registry, port=0, tls=files, strict=True)
    yield handle
    handle.close()
    assert handle.error is None


def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files[0])


def ask(
    server: monkit_present.Server,
    files: tuple[Path, Path],
    target: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[HTTPResponse, bytes]:
    assert server.port is not None
    connection = HTTPSConnection("localhost", server.port, context=trusting(files), timeout=BOUND_S)
    try:
        connection.request(method, target, body, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_port_speaks_https_and_says_so(server: monkit_present.Server, files: tuple[Path, Path]) -> None:
    assert server.url == f"https://127.0.0.1:{server.port}"
    response, body = ask(server, files, "/health")
    assert (response.status, body) == (200, b"ok\n")
    _, page = ask(server, files, "/")
    assert f"https://localhost:{server.port}/trace/svg" in page.decode()


def test_origin_of_the_https_page_is_ours_and_that_of_http_without_a_port_is_not(
    server: monkit_present.Server, files: tuple[Path, Path]
) -> None:
    own = {"Origin": f"https://localhost:{server.port}"}
    assert ask(server, files, "/ps", headers=own)[0].status == 200
    assert ask(server, files, "/ps", headers={"Origin": "http://localhost"})[0].status == 403


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_today_are_spoken(
    server: monkit_present.Server, files: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    context = trusting(files)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", server.port or 0), timeout=BOUND_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.version() == version.name.replace("v1_", "v1.")
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_client_that_speaks_no_tls_is_cut_and_nothing_is_logged(
    server: monkit_present.Server, files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", server.port or 0), timeout=BOUND_S) as client:
        client.sendall(b"GET /ps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := client.recv(1000):
            answer += piece
    assert b"HTTP/1.1 200" not in answer
    assert ask(server, files, "/health")[0].status == 200
    assert caplog.records == []


def test_handshake_that_fails_is_not_logged_in_the_debug_mode_of_asyncio_either(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    handle = monkit_present.serve(Registry(), port=0, tls=files, strict=True)
    try:
        for data in (b"", b"\x16\x03", b"GET /ps HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", handle.port or 0), timeout=BOUND_S) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1000):
                    pass
    finally:
        handle.close()
    assert [record.getMessage() for record in caplog.records] == []


def arriving(server: monkit_present.Server) -> int:
    return 0 if server._acceptor is None else len(server._acceptor.arriving)


def test_open_handshake_does_not_hold_up_the_end(server: monkit_present.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port or 0), timeout=BOUND_S) as client:
        client.sendall(b"\x16\x03")
        assert eventually(lambda: arriving(server) == 1)
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < PROMPT_S
        assert client.recv(1) == b""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
def test_child_of_fork_lets_go_of_open_handshakes(files: tuple[Path, Path]) -> None:
    pair = (str(files[0]), str(files[1]))
    script = f"""
        import os, socket, monkit_core, monkit_present
        handle = monkit_present.serve(monkit_core.Registry(), port=0, tls={pair!r}, strict=True)
        client = socket.create_connection(("127.0.0.1", handle.port), timeout=30)
        while not (handle._acceptor and handle._acceptor.arriving):
            pass
        name = os.readlink(f"/proc/self/fd/{{handle._acceptor.arriving[0].fileno()}}")
        child = os.fork()
        if child == 0:
            paths = [file.path for file in os.scandir("/proc/self/fd")]
            os._exit(name in [os.readlink(path) for path in paths if os.path.lexists(path)])
        print(os.waitpid(child, 0)[1])
        handle.close()
        client.close()
    """
    assert run_python("-c", textwrap.dedent(script)) == "0"


def test_cookie_of_a_session_is_secure(files: tuple[Path, Path]) -> None:
    handle = monkit_present.serve(Registry(), port=0, tls=files, token=TOKEN, strict=True)
    try:
        url = str(handle.sign_in_url())
        assert url.startswith(f"https://127.0.0.1:{handle.port}/sign-in#")
        code = url.partition("#")[2]
        headers = {"Content-Type": "application/json", "X-Monkit-Action": "1"}
        response, _ = ask(handle, files, "/sign-in", "POST", f'{{"code":"{code}"}}'.encode(), headers)
        cookie = str(response.getheader("set-cookie"))
        assert cookie.startswith(f"__Host-monkit-{handle.port}=")
        assert cookie.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")
        session = {"Cookie": cookie.partition(";")[0]}
        assert ask(handle, files, "/ps", headers=session)[0].status == 200
        assert ask(handle, files, "/ps")[0].status == 401
    finally:
        handle.close()


def test_wait_ends_when_its_client_leaves_and_when_the_server_closes(
    server: monkit_present.Server, files: tuple[Path, Path], registry: Registry
) -> None:
    def wait() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", server.port or 0), timeout=BOUND_S)
        connection = trusting(files).wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"GET /trace/json?regex=handle HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(10_000)
        return connection

    with wait():
        assert registry.watcher_count == 1
    assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)
    with wait():
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < PROMPT_S
    assert registry.watcher_count == 0


def locked_key(files: tuple[Path, Path], folder: Path) -> Path:
    """The key again, under a pass phrase."""
    locked = folder / "locked.pem"
    command = [str(OPENSSL), "ec", "-aes256", "-passout", "pass:secret", "-in", str(files[1]), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True, timeout=BOUND_S)
    return locked


def test_program_is_never_asked_for_a_pass_phrase_on_its_terminal(files: tuple[Path, Path], tmp_path: Path) -> None:
    pair = (str(files[0]), str(locked_key(files, tmp_path)))
    program = f"import monkit_present; print(monkit_present.serve(port=0, tls={pair!r}).url)"
    terminal = f"import pty, sys; pty.spawn([sys.executable, '-c', {program!r}])"
    said = run_python("-c", terminal, stdin="\n")
    assert "None" in said
    assert "pass phrase" not in said


def test_interpreter_exits_without_a_word_with_an_open_wait(files: tuple[Path, Path]) -> None:
    script = f"""
        import atexit, socket, ssl, monkit_core, monkit_present
        registry = monkit_core.Registry()
        registry.scope("shop").func("handle")
        handle = monkit_present.serve(registry, port=0, tls={(str(files[0]), str(files[1]))!r}, strict=True)
        context = ssl.create_default_context(cafile={str(files[0])!r})
        plain = socket.create_connection(("127.0.0.1", handle.port), timeout=30)
        client = context.wrap_socket(plain, server_hostname="localhost")
        client.sendall(b"GET /trace/json?regex=handle HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        assert client.recv(100)
        atexit.register(client.close)
        print("done")
    """
    assert run_python("-X", "dev", "-c", textwrap.dedent(script)) == "done"


def test_files_that_cannot_be_used_are_on_the_handle(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    locked = locked_key(files, tmp_path)
    for pair in ((tmp_path / "none.pem", key), (certificate, certificate), (key, key), (certificate, locked)):
        handle = monkit_present.serve(Registry(), port=0, tls=pair)
        assert isinstance(handle.error, OSError), pair
        assert (handle.url, handle.port) == (None, None)
        with pytest.raises(OSError, match=r"."):
            monkit_present.serve(Registry(), port=0, tls=pair, strict=True)
