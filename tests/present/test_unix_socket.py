"""Line 2 of the security checklist: the port on a Unix socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import quote

import pytest

import monkit_present
from monkit_core import Registry
from monkit_present import unix_socket
from monkit_present.listener import listen_unix
from monkit_present.unix_socket import may_ask, peer_uid
from tests.helpers import BOUND_S, ROOT, run_python
from tests.http_helpers import PROMPT_S, TOKEN, eventually

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to become another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a short path, private as tmp_path is."""
    return tmp_path


@contextlib.contextmanager
def served_at(path: Path | str, **options: str) -> Iterator[monkit_present.Server]:
    handle = monkit_present.serve(Registry(), unix=path, strict=True, **options)  # type: ignore[arg-type]
    try:
        yield handle
    finally:
        handle.close()


def status(path: Path, target: str = "/ps", *, host: str = "localhost", headers: str = "") -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(BOUND_S)
        client.connect(str(path))
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n".encode())
        response = HTTPResponse(client)
        response.begin()
        response.read()
        return response.status


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path) -> OSError:
    """What stands on the handle."""
    handle = monkit_present.serve(Registry(), unix=path)
    assert (handle.url, handle.port) == (None, None)
    assert isinstance(handle.error, OSError)
    return handle.error


def test_line_2_socket_answers_and_its_address_says_where_it_is(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path) as handle:
        assert (handle.url, handle.port) == (f"http+unix://{quote(str(path), safe='')}", None)
        assert status(path) == 200
        assert status(path, host="localhost:9000") == 200


def test_line_2_curl_speaks_to_it_as_the_documents_say(folder: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    path = folder / "shop.sock"
    with served_at(path):
        command = [curl, "-sS", "--unix-socket", str(path), "http://localhost/health"]
        assert subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=True).stdout == "ok\n"


def test_line_2_host_is_looked_at_here_too(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path):
        for host in ("evil.test", "shop.sock", str(path).strip("/").replace("/", ".")):
            assert status(path, host=host) == 403


def test_line_2_token_is_checked_if_one_is_given(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path, token=TOKEN) as handle:
        assert status(path) == 401
        assert status(path, headers=f"Authorization: Bearer {TOKEN}\r\n") == 200
        assert str(handle.sign_in_url()).startswith(f"{handle.url}/sign-in#")


# Who can reach it.


def test_line_2_missing_folder_is_made_for_us_alone_and_so_is_the_socket(folder: Path) -> None:
    umask = os.umask(0)
    try:
        with served_at(folder / "new" / "shop.sock"):
            assert (mode(folder / "new"), mode(folder / "new" / "shop.sock")) == (0o700, 0o600)
    finally:
        os.umask(umask)


def test_line_2_nobody_can_connect_before_the_mode_is_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def chmod(path: Path, mode: int) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            tried.append(client.connect_ex(str(path)))
        real_chmod(path, mode)

    real_chmod = os.chmod
    monkeypatch.setattr(os, "chmod", chmod)
    with served_at(folder / "shop.sock"):
        assert [os.strerror(number) for number in tried] == ["Connection refused"]


@pytest.mark.parametrize("open_mode", [0o777, 0o1777, 0o770, 0o722])
def test_line_2_folder_that_others_can_write_to_is_refused(folder: Path, open_mode: int) -> None:
    place = folder / "open"
    place.mkdir()
    place.chmod(open_mode)
    problem = refusal(place / "shop.sock")
    assert isinstance(problem, PermissionError)
    assert "must not be writable by others; make it mode 0700" in str(problem)
    assert list(place.iterdir()) == []


def test_line_2_folder_behind_a_link_is_looked_at_itself(folder: Path) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "link").symlink_to(folder / "open")
    assert isinstance(refusal(folder / "link" / "shop.sock"), PermissionError)


@as_root
def test_line_2_folder_of_another_user_is_refused(folder: Path) -> None:
    (folder / "theirs").mkdir(mode=0o755)
    os.chown(folder / "theirs", 65534, 65534)
    assert "must be ours, it is of user 65534" in str(refusal(folder / "theirs" / "shop.sock"))


def test_line_2_other_side_of_our_own_user_may_ask() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert may_ask(one)
        assert peer_uid(one) in (os.geteuid(), None)


def test_line_2_other_side_that_cannot_be_told_may_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: socket.socket) -> int:
        raise OSError

    monkeypatch.setattr(unix_socket, "peer_uid", fail)
    with socket.socket(socket.AF_UNIX) as connection:
        assert not may_ask(connection)


def test_line_2_other_user_is_cut_before_a_byte_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "shop.sock"
    with served_at(path) as handle:
        assert status(path) == 200
        monkeypatch.setattr(unix_socket, "peer_uid", lambda connection: os.geteuid() + 1)
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(BOUND_S)
                client.connect(str(path))
                assert told(client) == b""
        monkeypatch.undo()
        assert status(path) == 200
        assert eventually(lambda: not handle._state.connections, PROMPT_S)


def told(client: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        client.sendall(b"GET /ps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(100)
    return b""


@as_root
def test_line_2_another_user_is_cut_though_the_modes_would_let_it_in(folder: Path) -> None:
    script = """
        import os, socket, sys
        os.setgid(65534)
        os.setuid(65534)
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(sys.argv[1])
        try:
            client.sendall(b"GET /ps HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
            print(client.recv(100))
        except ConnectionError:
            print(b"")
        client.close()
    """
    place = Path("/tmp") / f"monkit-test-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        path = place / "shop.sock"
        with served_at(path):
            path.chmod(0o666)
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(script), str(path)],
                capture_output=True,
                text=True,
                timeout=BOUND_S,
                check=True,
                cwd="/",
            )
            assert done.stdout == "b''\n"
            assert status(path) == 200
    finally:
        shutil.rmtree(place)


# A file that is there already.


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))


def test_line_2_stale_socket_of_ours_is_replaced(folder: Path) -> None:
    path = folder / "shop.sock"
    leave_stale(path)
    with served_at(path):
        assert status(path) == 200


def test_line_2_socket_that_somebody_answers_on_stays_theirs(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path):
        assert "Address already in use" in str(refusal(path))
        assert status(path) == 200


def test_line_2_socket_whose_queue_is_full_is_not_taken_for_stale(folder: Path) -> None:
    path = folder / "shop.sock"
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as clients:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        assert "Address already in use" in str(refusal(path))
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "link", "folder link", "pipe"])
def test_line_2_what_is_no_socket_is_left_alone(folder: Path, kind: str) -> None:
    path = folder / "shop.sock"
    other = folder / "other"
    if kind == "file":
        path.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        leave_stale(other)
        path.symlink_to(other)
    before = os.lstat(path)
    assert "this is no socket" in str(refusal(path))
    assert os.lstat(path) == before


@as_root
def test_line_2_stale_socket_of_another_user_is_left_alone(folder: Path) -> None:
    path = folder / "shop.sock"
    leave_stale(path)
    os.chown(path, 65534, 65534)
    assert "this socket is of user 65534" in str(refusal(path))
    assert path.exists()


def test_line_2_of_many_that_start_at_once_one_has_the_socket(folder: Path) -> None:
    path = folder / "shop.sock"
    leave_stale(path)
    handles: list[monkit_present.Server] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait(BOUND_S)
        handles.append(monkit_present.serve(Registry(), unix=path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert sorted(handle.error is None for handle in handles) == [False] * 7 + [True]
    assert status(path) == 200
    for handle in handles:
        handle.close()
    assert not path.exists()


def test_line_2_lock_that_is_never_given_back_is_not_waited_for_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(unix_socket, "_LOCK_S", 0.02)
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert isinstance(refusal(folder / "shop.sock"), BlockingIOError)
    finally:
        os.close(holder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_line_2_child_that_is_forked_meanwhile_does_not_keep_others_waiting(folder: Path) -> None:
    script = f"""
        import fcntl, os, pathlib
        from monkit_present.unix_socket import bind_unix
        heard, hear = os.pipe()
        chmod, children = os.chmod, []

        def fork_and_chmod(*arguments):
            children.append(os.fork())
            if children[-1] == 0:
                os.read(heard, 1)
                os._exit(0)
            chmod(*arguments)

        os.chmod = fork_and_chmod
        listener, place, _ = bind_unix({str(folder / "shop.sock")!r})
        folder = os.open({str(folder)!r}, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(hear, b"x")
        assert os.waitpid(children[0], 0)[1] == 0
        listener.close()
        print(len(children))
    """
    assert run_python("-c", textwrap.dedent(script)) == "1"


# Its end.


def test_line_2_socket_is_removed_when_it_is_closed(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path) as handle:
        assert path.exists()
        handle.close()
        assert not path.exists()


def test_line_2_file_that_took_its_place_is_left_alone(folder: Path) -> None:
    path = folder / "shop.sock"
    with served_at(path) as handle:
        (folder / "moved").write_text("mine")
        os.replace(folder / "moved", path)
        handle.close()
        assert path.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_line_2_child_of_fork_leaves_the_socket_to_its_parent(folder: Path) -> None:
    script = f"""
        import os, sys, monkit_core, monkit_present
        handle = monkit_present.serve(monkit_core.Registry(), unix={str(folder / "shop.sock")!r}, strict=True)
        child = os.fork()
        if child == 0:
            handle.close()
            sys.exit(0)  # with the handlers that run at exit
        assert os.waitpid(child, 0)[1] == 0
        print(os.path.exists({str(folder / "shop.sock")!r}), handle.url is not None)
    """
    assert run_python("-X", "dev", "-c", textwrap.dedent(script)) == "True True"
    assert not (folder / "shop.sock").exists(), "the parent removes it at its own end"


def test_line_2_thread_that_cannot_start_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        handle = monkit_present.serve(Registry(), unix=folder / "shop.sock")
    assert isinstance(handle.error, RuntimeError)
    assert list(folder.iterdir()) == []


# Where it is.


@pytest.mark.parametrize("end", ["", "/"])
def test_line_2_of_a_folder_the_name_has_the_number_of_the_process(folder: Path, end: str) -> None:
    with served_at(f"{folder}{end}"):
        assert [path.name for path in folder.iterdir()] == [f"monkit-{os.getpid()}.sock"]
    with served_at(f"{folder}/made/"):
        assert mode(folder / "made") == 0o700
        assert [path.name for path in (folder / "made").iterdir()] == [f"monkit-{os.getpid()}.sock"]


def test_line_2_relative_path_is_made_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with served_at("shop.sock") as handle:
        monkeypatch.chdir(ROOT)
        assert quote(str(folder), safe="") in str(handle.url)
        handle.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 200, "missing/missing/shop.sock", "a\0b"])
def test_line_2_path_that_cannot_be_is_on_the_handle(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    handle = monkit_present.serve(Registry(), unix=folder / name)
    assert isinstance(handle.error, OSError | ValueError)
    assert len(caplog.records) == 1
    assert list(folder.iterdir()) == []


def test_line_2_tls_on_a_socket_is_a_wrong_declaration(folder: Path) -> None:
    handle = monkit_present.serve(Registry(), unix=folder / "shop.sock", tls=("cert.pem", "key.pem"))
    assert str(handle.error) == "tls= is for a port; leave it out with unix="


def test_line_2_listener_says_what_it_is(folder: Path) -> None:
    listener = listen_unix(folder / "shop.sock")
    try:
        assert (listener.port, listener.tls, listener.may_ask) == (None, None, may_ask)
        assert not listener.sock.getblocking()
    finally:
        listener.sock.close()
        assert listener.remove is not None
        listener.remove()
    assert list(folder.iterdir()) == []
