"""A client in a process of its own, so that reading a page does not disturb the process that is measured.

The program fetches each path that it reads from its input, and answers each by
a line: when it began and ended, nanoseconds of the clock that all processes
of a machine share, and the bytes of the response, head and framing included.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from urllib.parse import urlsplit

__all__ = ["Client", "Fetched", "client_of"]

_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch took.

    Attributes:
        begin_ns: before the connection was made, monotonic nanoseconds.
        end_ns: when the last byte was there.
        size: bytes.
    """

    begin_ns: int
    end_ns: int
    size: int


class Client:
    """The other process, seen from here.

    Args:
        url: of the port, ``http://127.0.0.1:9000``.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client", str(place.hostname), str(place.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, path: str) -> None:
        """Let it begin to fetch *path*."""
        assert self._process.stdin is not None
        self._process.stdin.write(path + "\n")
        self._process.stdin.flush()

    def answer(self) -> Fetched:
        """Wait until all of it is there.

        Raises:
            RuntimeError: the status was not 200, or the client has ended.
        """
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        if len(words) != 3:
            raise RuntimeError(f"three numbers were expected of the client, found {words}")
        return Fetched(*map(int, words))

    def fetch(self, path: str) -> Fetched:
        """Both."""
        self.ask(path)
        return self.answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def client_of(url: str) -> Iterator[Client]:
    """A client of *url* for a block."""
    client = Client(url)
    try:
        yield client
    finally:
        client.close()


def _fetch(host: str, port: int, path: str) -> Fetched:
    """Fetch *path* without looking at what comes, but for its status."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    begin_ns = monotonic_ns()
    with socket.create_connection((host, port)) as connection:
        connection.sendall(request)
        size = connection.recv_into(buffer)
        status = bytes(buffer[9:12])
        while received := connection.recv_into(buffer):
            size += received
    if status != b"200":
        raise RuntimeError(f"GET {path}: status 200 was expected, found {status!r}")
    return Fetched(begin_ns, monotonic_ns(), size)


if __name__ == "__main__":
    for line in sys.stdin:
        fetched = _fetch(sys.argv[1], int(sys.argv[2]), line.strip())
        print(fetched.begin_ns, fetched.end_ns, fetched.size, flush=True)
