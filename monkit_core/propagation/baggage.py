"""W3C Baggage: values of the program that travel with a request.

They are passed on as they came. A member that is malformed is left out, the
others stay; of a list that is too long the first members stay that fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

__all__ = ["MAX_BYTES", "MAX_MEMBERS", "BaggageMember", "field", "parse_baggage"]

MAX_MEMBERS = 180
MAX_BYTES = 8192

# How far a list is read: room for white space and for members that are left out.
_LONGEST_LIST = 4 * MAX_BYTES
_WHITE = " \t"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class BaggageMember:
    """One member of the list.

    Attributes:
        key: as it came; keys are not percent-encoded and their case counts.
        text: the whole member as it came, with its properties.
    """

    key: str
    text: str

    @property
    def value(self) -> str:
        """The value, percent-decoded; octets that are no UTF-8 become U+FFFD."""
        return unquote(self.text.partition(";")[0].partition("=")[2].strip(_WHITE), errors="replace")


def parse_baggage(texts: Iterable[str]) -> tuple[BaggageMember, ...]:
    """The valid members of *texts*, the header fields in their order."""
    members: list[BaggageMember] = []
    room = MAX_BYTES + 1  # the first member has no comma before it
    for text in _split(",".join(texts)):
        room -= len(text) + 1
        if room < 0 or len(members) == MAX_MEMBERS:
            break
        member = _parse_member(text)
        if member is None:
            room += len(text) + 1
        else:
            members.append(member)
    return tuple(members)


def _split(text: str) -> list[str]:
    if len(text) > _LONGEST_LIST:
        text = text[:_LONGEST_LIST].rpartition(",")[0]  # without the member that was cut
    return [member for part in text.split(",") if (member := part.strip(_WHITE))]


def _parse_member(text: str) -> BaggageMember | None:
    member, *properties = text.split(";")
    key, equals, value = member.partition("=")
    key = key.rstrip(_WHITE)
    good = equals and _TOKEN.fullmatch(key) and _VALUE.fullmatch(value.strip(_WHITE)) and all(map(_valid, properties))
    return BaggageMember(key, text) if good else None


def _valid(text: str) -> bool:
    """Whether *text* is a property: ``key`` or ``key=value``."""
    key, _, value = text.partition("=")
    return bool(_TOKEN.fullmatch(key.strip(_WHITE)) and _VALUE.fullmatch(value.strip(_WHITE)))


def field(members: Iterable[BaggageMember]) -> str:
    """The header field that says *members*."""
    return ",".join(member.text for member in members)
