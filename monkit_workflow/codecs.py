"""Payloads to other payloads, on their way to a service and back: compression, encryption, or your own.

A codec sees encoded values, whatever the converter made of them, and is applied
at the border to the service, by `monkit_workflow.coded_service`: nothing inside
of it, neither workflow code nor a replay, knows of codecs.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from monkit_workflow.errors import ConversionError
from monkit_workflow.payload import Payload

__all__ = ["Codec", "Compression", "Encryption"]

_ZLIB: Final = "binary/zlib"
_ENCRYPTED: Final = "binary/encrypted"
_KEY_ID: Final = "key-id"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Codec(Protocol):
    """Changes payloads on their way. Called on the event loop, so that it has to be quick."""

    def encode(self, payload: Payload) -> Payload:
        """What is sent instead of *payload*, or *payload* itself.

        Raises:
            ConversionError: it cannot be sent.
        """
        ...

    def decode(self, payload: Payload) -> Payload:
        """What `encode` was given; what this codec has not made comes back as it is.

        Raises:
            ConversionError: this codec made it, and it cannot be read.
        """
        ...


def _pack(payload: Payload) -> bytes:
    return msgspec.msgpack.encode((payload.encoding, payload.metadata, payload.data))


_UNPACKER: Final = msgspec.msgpack.Decoder(tuple[str, dict[str, str], bytes])


def _unpack(packed: bytes) -> Payload:
    try:
        encoding, metadata, data = _UNPACKER.decode(packed)
    except msgspec.DecodeError as problem:
        raise ConversionError(f"an encoded payload holds no payload: {problem}") from None
    return Payload.of(data, encoding, metadata)


class Compression:
    """Makes large payloads smaller, by zlib; those that would not become smaller stay as they are.

    Args:
        above: bytes; smaller payloads are left alone.
        limit: bytes; larger payloads are left alone too, for the service to
            refuse, and nothing is unpacked to more.
    """

    def __init__(self, *, above: int = 1024, limit: int = 2 * 1024 * 1024) -> None:
        self._above = above
        self._limit = limit

    def encode(self, payload: Payload) -> Payload:
        """See `Codec`."""
        if len(payload.data) < self._above:
            return payload
        packed = _pack(payload)
        if len(packed) > self._limit:
            return payload
        smaller = zlib.compress(packed)
        return Payload(binary=smaller, encoding=_ZLIB) if len(smaller) < len(payload.data) else payload

    def decode(self, payload: Payload) -> Payload:
        """See `Codec`."""
        if payload.encoding != _ZLIB:
            return payload
        unpacker = zlib.decompressobj()
        try:
            packed = unpacker.decompress(payload.binary, self._limit)
        except zlib.error as problem:
            raise ConversionError(f"a compressed payload is damaged: {problem}") from None
        if not unpacker.eof:
            raise ConversionError(f"a compressed payload is cut off, or unpacks to more than {self._limit:,} bytes")
        return _unpack(packed)


class Encryption:
    """Encrypts payloads by AES-256-GCM; which key it was stands beside each.

    A new nonce of 96 random bits is drawn for each payload, so that one key
    should not encrypt more than some four thousand million. Payloads that are
    not encrypted are read as they are: they were written before there was a key.

    Args:
        keys: by an id that is written into each payload, 32 bytes each. Old ones
            have to stay as long as there are runs and histories that need them.
        current: the id of the key that encrypts.

    Raises:
        ValueError: a key has another length, or *current* is none of them.
        ModuleNotFoundError: the package *cryptography* is not installed.
    """

    def __init__(self, keys: Mapping[str, bytes], *, current: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as problem:
            raise ModuleNotFoundError(
                "Encryption needs cryptography; install it with: pip install 'monkit-py[encryption]'", name=problem.name
            ) from None
        for key_id, key in keys.items():
            if len(key) != _KEY_BYTES:
                raise ValueError(f"the key {key_id!r} has {len(key)} bytes; AES-256 takes {_KEY_BYTES}")
        if current not in keys:
            raise ValueError(f"the current key {current!r} is none of keys=, which are: {', '.join(sorted(keys))}")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    def encode(self, payload: Payload) -> Payload:
        """See `Codec`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, _pack(payload), _bound(self._current))
        return Payload(binary=nonce + sealed, encoding=_ENCRYPTED, metadata={_KEY_ID: self._current})

    def decode(self, payload: Payload) -> Payload:
        """See `Codec`."""
        if payload.encoding != _ENCRYPTED:
            return payload
        from cryptography.exceptions import InvalidTag

        key_id = payload.metadata.get(_KEY_ID, "")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(map(repr, sorted(self._ciphers)))
            raise ConversionError(f"a payload is encrypted with the key {key_id!r}; known are only {known}")
        nonce, sealed = payload.binary[:_NONCE_BYTES], payload.binary[_NONCE_BYTES:]
        try:
            return _unpack(cipher.decrypt(nonce, sealed, _bound(key_id)))
        except (InvalidTag, ValueError):
            raise ConversionError(
                f"a payload cannot be decrypted: it was changed, or the key {key_id!r} is not the one that encrypted it"
            ) from None


def _bound(key_id: str) -> bytes:
    """What is authenticated along with a payload: that it is of this format, under this key's name."""
    return b"monkit payload 1\0" + key_id.encode()
