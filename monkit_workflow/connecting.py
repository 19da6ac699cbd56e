"""From an address to a client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from monkit_workflow.client import Client
from monkit_workflow.codecs import Codec
from monkit_workflow.coded_service import coded
from monkit_workflow.converter import Converter
from monkit_workflow.propagators import Propagator
from monkit_workflow.service import Service
from monkit_workflow.sqlite.service import SqliteService

__all__ = ["connect"]

_SQLITE = "sqlite://"


def connect(
    address: str,
    *,
    namespace: str = "default",
    converter: Converter | None = None,
    codecs: Sequence[Codec] = (),
    encode_failures: bool = True,
    interceptors: Iterable[object] = (),
    propagators: Iterable[Propagator] = (),
    identity: str | None = None,
    synchronous: Literal["full", "normal"] = "full",
    retention: timedelta | None = timedelta(days=30),
) -> Client:
    """A client of the service at *address*. Nothing is opened before ``async with`` or a worker opens it.

    Args:
        address: ``sqlite:///orders.db`` for a file, ``sqlite:////var/lib/orders.db``
            for one with an absolute path, ``sqlite://`` for memory that is gone with the client.
        namespace: workflow ids are unique in one.
        converter: how values become payloads, JSON by default.
        codecs: what payloads pass through on their way to the service, in this order, such as
            ``[Compression(), Encryption(keys, current="2024")]``; on their way back in reverse.
        encode_failures: whether messages and stacks of failures pass through the codecs
            too; without them people and tools that lack the keys can read why something failed.
        interceptors: objects whose methods stand around calls of this client and of
            its workers, the first one outermost; see `monkit_workflow.interceptors`.
        propagators: carry context variables from who calls to who is called.
        identity: how this process is named in histories, by default by its id and host.
        synchronous: ``full``: what was acknowledged survives a loss of power.
            ``normal``: it survives a crash of the process, a loss of power may
            take the last moments.
        retention: how long a run is kept after its end, ``None`` for ever.

    Raises:
        TypeError: something is no interceptor or no propagator.
        ValueError: the address is of no known kind.
    """
    if not address.startswith(_SQLITE):
        raise ValueError(f"{address!r} is no address of a service; use sqlite:///FILE, or sqlite:// for memory")
    path = address.removeprefix(_SQLITE)
    if path and not path.startswith("/"):
        raise ValueError(f"{address!r} has no third slash; write sqlite:///{path}")
    file = path[1:] or None
    service: Service = SqliteService(file, namespace=namespace, synchronous=synchronous, retention=retention)
    if codecs:
        service = coded(service, codecs, encode_failures=encode_failures)
    return Client(service, converter=converter, identity=identity, interceptors=interceptors, propagators=propagators)
