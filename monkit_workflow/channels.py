"""Signals on their way to the code: channels that keep what nobody has taken yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar, cast

from monkit_workflow.converter import Converter
from monkit_workflow.errors import ConversionError
from monkit_workflow.payload import Payloads

__all__ = ["Channel", "Mailbox"]

T = TypeVar("T")


class Channel(Generic[T]):
    """Signals of one name in the order of their arrival, also those from before the channel was asked for.

    A signal has one value here; one without arguments is ``None``.
    """

    def __init__(self, name: str, converter: Converter) -> None:
        self.name = name
        self.hint: Any = Any
        self._converter = converter
        self._arrived: asyncio.Queue[Payloads] = asyncio.Queue()

    async def receive(self) -> T:
        """Take the next signal, and wait for it if there is none.

        Raises:
            ConversionError: it does not fit the channel's type.
        """
        return self._value(await self._arrived.get())

    def receive_nowait(self) -> T:
        """Take the next signal that has arrived.

        Raises:
            asyncio.QueueEmpty: there is none.
            ConversionError: as `receive`.
        """
        return self._value(self._arrived.get_nowait())

    def __len__(self) -> int:
        return self._arrived.qsize()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self.receive()

    def put(self, arguments: Payloads) -> None:
        """A signal arrived."""
        self._arrived.put_nowait(arguments)

    def _value(self, arguments: Payloads) -> T:
        if len(arguments) > 1:
            raise ConversionError(
                f"the signal {self.name!r} has {len(arguments)} arguments, a channel takes one; "
                "send one value such as a dataclass, or handle it with @workflow.signal"
            )
        return cast(T, self._converter.decode(arguments[0], self.hint) if arguments else None)


class Mailbox:
    """The channels of one run."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._channels: dict[str, Channel[Any]] = {}

    def channel(self, name: str, hint: Any = None) -> Channel[Any]:
        """The channel of a signal; *hint* is the type of its values."""
        found = self._channels.get(name)
        if found is None:
            found = self._channels[name] = Channel(name, self._converter)
        if hint is not None:
            found.hint = hint
        return found
