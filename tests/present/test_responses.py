from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from monkit_core import Registry
from monkit_core.formats import text
from monkit_core.formats.functions import func_rows
from monkit_present.render import json
from monkit_present.responses import gathered, send_all
from tests.helpers import run_python


@pytest.mark.parametrize(
    ("chunks", "parts"),
    [
        ([], []),
        (["a", b"b"], [b"ab"]),
        (["ab", "cd", "e"], [b"abcd", b"e"]),
        ([b"abcdefgh", "é", "f"], [b"abcdefgh", "éf".encode()]),
        (["abc", "", b""], [b"abc", b""]),
        (["", "abc"], [b"", b"abc"]),
    ],
)
def test_small_chunks_are_gathered_and_large_ones_stay(chunks: list[str | bytes], parts: list[bytes]) -> None:
    assert list(gathered(chunks, 4)) == parts


def test_what_is_gathered_is_sent_as_it_is() -> None:
    sent: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["body"])

    large = [bytes([number]) * 300_000 for number in range(3)]
    asyncio.run(send_all(send, large))
    assert sent == [*large, b""]
    assert all(one is other for one, other in zip(large, sent, strict=False))


def test_no_chunk_of_a_page_is_as_long_as_the_page() -> None:
    registry = Registry()
    for number in range(2_000):
        registry.scope(f"scope {number % 20}").func(f"f{number}").failed("ValueError", 5)
    for page in (text.series(registry.series()), json.series(registry.series()), json.funcs(func_rows(registry))):
        assert max(map(len, page)) < 4_000


def test_making_a_page_leaves_the_collector_little_to_do() -> None:
    """Objects of a page live for a moment, so that none of the program's old ones are looked at for their sake."""
    said = run_python(
        "-c",
        """
import gc
from monkit_core import Registry
from monkit_core.formats import text
from monkit_core.formats.functions import func_rows
from monkit_present.render import json

registry = Registry()
for number in range(3_000):
    func = registry.scope(f"scope {number % 30}").func(f"f{number}")
    func.success_times.observe(5)
    func.failed("ValueError", 5)
pages = {
    "text": lambda: text.series(registry.series()),
    "json": lambda: json.series(registry.series()),
    "funcs": lambda: json.funcs(func_rows(registry)),
}
for make in pages.values():  # what is kept for later pages is made by the first one
    list(make())
gc.collect()
for name, make in pages.items():
    before = gc.get_stats()
    for chunk in make():
        pass
    print(name, [now["collections"] - then["collections"] for then, now in zip(before, gc.get_stats())][1:])
""",
    )
    assert said.splitlines() == ["text [0, 0]", "json [0, 0]", "funcs [0, 0]"]
