"""From an address to a client."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from monkit_workflow.client import Client
from monkit_workflow.converter import Converter
from monkit_workflow.sqlite.service import SqliteService

__all__ = ["connect"]

_SQLITE = "sqlite://"


def connect(
    address: str,
    *,
    namespace: str = "default",
    converter: Converter | None = None,
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
        identity: how this process is named in histories, by default by its id and host.
        synchronous: ``full``: what was acknowledged survives a loss of power.
            ``normal``: it survives a crash of the process, a loss of power may
            take the last moments.
        retention: how long a run is kept after its end, ``None`` for ever.

    Raises:
        ValueError: the address is of no known kind.
    """
    if not address.startswith(_SQLITE):
        raise ValueError(f"{address!r} is no address of a service; use sqlite:///FILE, or sqlite:// for memory")
    path = address.removeprefix(_SQLITE)
    if path and not path.startswith("/"):
        raise ValueError(f"{address!r} has no third slash; write sqlite:///{path}")
    service = SqliteService(path[1:] or None, namespace=namespace, synchronous=synchronous, retention=retention)
    return Client(service, converter=converter, identity=identity)
