"""Codecs: what leaves for the service is encoded, and nothing on this side knows of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monkit_workflow import (
    Client,
    Codec,
    Compression,
    Encryption,
    Worker,
    activity,
    connect,
    replay,
    workflow,
    write_history,
)
from monkit_workflow.coded_service import coded
from monkit_workflow.errors import ActivityFailure, ApplicationFailure, ConversionError, QueryFailed, WorkflowFailed
from monkit_workflow.history import Event, WorkflowExecutionStarted, WorkflowTaskFailed
from monkit_workflow.payload import Failure, Payload, json_payload
from monkit_workflow.service import SignalRequest, StartRequest
from monkit_workflow.sqlite import SqliteService
from tests.workflow.running import QUEUE, START, run, until

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/how-to/encrypt-payloads.md"
OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
SECRET = "plain-as-day"
LARGE = json_payload(json.dumps("word " * 1000).encode())
BYTES = Payload(binary=bytes(range(256)) * 8, encoding="binary/plain", metadata={"a": "b"})


def encryption(current: str = "new") -> Encryption:
    return Encryption({**OLD, **NEW}, current=current)


# Payload to payload.


@pytest.mark.parametrize("payload", [LARGE, BYTES, json_payload(b"1")], ids=["large", "bytes", "small"])
@pytest.mark.parametrize("codec", [Compression(), Compression(above=0), encryption()], ids=["zlib", "all", "aes"])
def test_payload_comes_back_as_it_was(codec: Codec, payload: Payload) -> None:
    assert codec.decode(codec.encode(payload)) == payload
    assert codec.decode(payload) == payload  # what the codec has not made


def test_compression_leaves_alone_what_would_not_become_smaller() -> None:
    assert len(Compression().encode(LARGE).data) < len(LARGE.data) / 10
    for payload in (json_payload(b'"' + b"a" * 1000 + b'"'), Payload(binary=zlib.compress(LARGE.data) * 50)):
        assert Compression().encode(payload) is payload


def test_nothing_is_unpacked_to_more_than_the_limit() -> None:
    bomb = Compression(limit=100_000_000).encode(Payload(binary=bytes(50_000_000), encoding="binary/plain"))
    assert len(bomb.data) < 100_000
    with pytest.raises(ConversionError, match="unpacks to more than 2,097,152 bytes"):
        Compression().decode(bomb)
    large = Payload(binary=bytes(3_000_000), encoding="binary/plain")
    assert Compression().encode(large) is large  # for the service to refuse


def test_damaged_payloads_are_refused() -> None:
    small = Compression().encode(LARGE)
    for data in (small.binary[:-5], b"nonsense", zlib.compress(b"nonsense")):
        with pytest.raises(ConversionError):
            Compression().decode(msgspec.structs.replace(small, binary=data))
    sealed = encryption().encode(LARGE)
    flipped = bytes([sealed.binary[20] ^ 1])
    for data in (sealed.binary[:20] + flipped + sealed.binary[21:], sealed.binary[:20], b""):
        with pytest.raises(ConversionError, match="it was changed, or the key 'new' is not the one"):
            encryption().decode(msgspec.structs.replace(sealed, binary=data))


def test_encryption_shows_nothing_but_the_name_of_the_key() -> None:
    first, second = (encryption().encode(json_payload(f'"{SECRET}"'.encode())) for _ in range(2))
    assert SECRET.encode() not in first.binary
    assert first.binary != second.binary  # another nonce each time
    assert first.metadata == {"key-id": "new"}


def test_name_of_the_key_is_authenticated() -> None:
    same = {"a": b"k" * 32, "b": b"k" * 32}
    sealed = Encryption(same, current="a").encode(LARGE)
    with pytest.raises(ConversionError, match="the key 'b' is not the one"):
        Encryption(same, current="b").decode(msgspec.structs.replace(sealed, metadata={"key-id": "b"}))


def test_old_keys_read_what_they_have_written_and_the_current_one_writes() -> None:
    assert encryption("new").decode(encryption("old").encode(LARGE)) == LARGE
    with pytest.raises(ConversionError, match="encrypted with the key 'new'; known are only 'old'"):
        Encryption(OLD, current="old").decode(encryption("new").encode(LARGE))


def test_wrong_keys_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="the key 'k' has 16 bytes; AES-256 takes 32"):
        Encryption({"k": b"k" * 16}, current="k")
    with pytest.raises(ValueError, match="the current key 'x' is none of keys=, which are: new, old"):
        encryption("x")


def test_without_cryptography_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None; from monkit_workflow import Encryption\n"
        "Encryption({'k': bytes(32)}, current='k')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: Encryption needs cryptography; install it with: pip install 'monkit-py[encryption]'"
    )


def test_how_to_encrypt_payloads_does_what_it_says(tmp_path: Path) -> None:
    program, own = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    check = """
from monkit_workflow import JsonConverter
for value in ("text", 1.5, b"bytes"):
    payload = JsonConverter().encode(value)
    assert Inverted().encode(payload) != payload
    assert Inverted().decode(Inverted().encode(payload)) == payload == Inverted().decode(payload)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{own}\n{check}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("the treasur\nin the file: False\n", "")


# At the border.


class Marked:
    """A codec of the user's own: puts its name in front."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, payload: Payload) -> Payload:
        return json_payload(json.dumps([self.name, json.loads(bytes(payload.data))]).encode())

    def decode(self, payload: Payload) -> Payload:
        name, value = json.loads(bytes(payload.data))
        assert name == self.name
        return json_payload(json.dumps(value).encode())


class Recording(SqliteService):
    """Keeps what reaches the service."""

    requests: tuple[Any, ...] = ()

    async def start(self, request: StartRequest) -> str:
        self.requests += (request,)
        return await super().start(request)

    async def signal(self, request: SignalRequest) -> None:
        self.requests += (request,)
        await super().signal(request)


def test_codecs_are_applied_in_order_and_undone_in_reverse_and_search_attributes_stay_in_clear() -> None:
    async def scene() -> None:
        inner = Recording(None)
        client = Client(coded(inner, [Marked("first"), Marked("second")]))
        async with client:
            handle = await client.start("Some", 1, id="w", memo={"m": 2}, **START)
            await handle.signal("s", 3)
            start, signal = inner.requests
            assert [bytes(item.data) for item in (*start.input, start.memo["m"], *signal.input)] == [
                b'["second", ["first", %d]]' % number for number in (1, 2, 3)
            ]
            began = (await handle.history()).events[0]
            assert isinstance(began, WorkflowExecutionStarted)
            assert began.input == (json_payload(b"1"),)
            assert (await handle.describe()).memo == {"m": 2}

    run(scene())


def test_message_and_stack_of_failures_are_encoded_unless_one_asks_to_see_them() -> None:
    async def seen(**options: Any) -> tuple[Failure, Failure]:
        inner = SqliteService(None)
        outer = coded(inner, [encryption()], **options)
        async with outer:
            await Client(outer).start("Some", id="w", **START)
            task = await outer.poll_workflow_task(QUEUE, "me")
            assert task is not None
            cause = Failure(message=SECRET, stack=SECRET, details=(LARGE,))
            await outer.fail_workflow_task(task.token, Failure(message=SECRET, type="Oops", cause=cause))
            (within, without) = [(await service.describe("w")).task_failure for service in (outer, inner)]
            assert within is not None
            assert without is not None
            assert within == Failure(message=SECRET, type="Oops", cause=cause)
            return within, without

    async def scene() -> None:
        _, kept = await seen()
        assert kept.cause is not None
        assert (kept.message, kept.type, kept.cause.message, kept.cause.stack) == (
            "Encoded failure",
            "Oops",
            "Encoded failure",
            "",
        )
        assert kept.cause.details[0].encoding == "binary/encrypted"
        _, kept = await seen(encode_failures=False)
        assert (kept.message, kept.encoded) == (SECRET, None)

    run(scene())


# Whole workflows.


@activity.define
async def echo(word: str) -> str:
    activity.heartbeat(f"{word}-heartbeat")
    return f"{word}-result"


@activity.define
async def fail(word: str) -> None:
    raise ApplicationFailure(f"{word}-message", f"{word}-details")


@workflow.define
class Child:
    @workflow.run
    async def run(self, word: str) -> str:
        return f"{word}-child"


@workflow.define
class Secretive:
    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, word: str) -> list[str]:
        self.words.append(await workflow.execute_activity(echo, word, start_to_close=timedelta(minutes=1)))
        self.words.append(workflow.side_effect(lambda: f"{word}-effect"))
        self.words.append(await workflow.execute_child(Child.run, word, timeout=timedelta(hours=1)))
        try:
            await workflow.execute_activity(fail, word, start_to_close=timedelta(minutes=1))
        except ActivityFailure as error:
            if isinstance(cause := error.__cause__, ApplicationFailure):
                self.words += [str(cause), *cause.details]
        await workflow.wait_condition(lambda: "signal" in self.words[-1])
        if len(self.words) < 7:
            raise ApplicationFailure(f"{word}-end")
        return self.words

    @workflow.signal
    def note(self, word: str) -> None:
        self.words.append(word)

    @workflow.query
    def so_far(self, suffix: str) -> list[str]:
        if suffix == "bad":
            raise ValueError(f"{self.words[0]}-query")
        return [word + suffix for word in self.words]


WORDS = ["result", "effect", "child", "message", "details", "signal"]


def test_no_plain_text_of_any_payload_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    expected = [f"{SECRET}-{word}" for word in WORDS]

    async def scene() -> None:
        client = connect(f"sqlite:///{path}", codecs=[Compression(above=10), encryption()])
        async with client, Worker(client, QUEUE, workflows=[Secretive, Child], activities=[echo, fail]):
            handle = await client.start(Secretive.run, SECRET, id="w", memo={"note": f"{SECRET}-memo"}, **START)

            async def has_failed() -> bool:
                return len(await handle.query(Secretive.so_far, "")) == 5

            await until(has_failed)
            with pytest.raises(QueryFailed, match=f"ValueError: {SECRET}-result-query"):
                await handle.query(Secretive.so_far, "bad")
            await handle.signal(Secretive.note, f"{SECRET}-signal")
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            assert str(caught.value.__cause__) == f"{SECRET}-end"
            assert await handle.query(Secretive.so_far, "!") == [word + "!" for word in expected]
            assert (await handle.describe()).memo["note"] == f"{SECRET}-memo"
            file = write_history(await handle.history())
            assert SECRET.encode() in file
            assert replay(file, Secretive).status == "failed"
            found = b"".join(item.read_bytes() for item in tmp_path.glob("runs.db*"))
            assert b"Secretive" in found
            assert SECRET.encode() not in found
            assert b"in run" not in found  # of a stack

    run(scene())
    assert SECRET.encode() not in path.read_bytes()


@workflow.define
class Waiting:
    @workflow.run
    async def run(self, word: str) -> str:
        await workflow.wait_condition(lambda: bool(self.word))
        return word + self.word

    def __init__(self) -> None:
        self.word = ""

    @workflow.signal
    def go(self, word: str) -> None:
        self.word = word


def test_keys_are_rotated_while_runs_are_open(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/runs.db"

    async def scene() -> None:
        async with connect(address, codecs=[Encryption(OLD, current="old")]) as client:
            await client.start(Waiting.run, "a", id="w", **START)
        client = connect(address, codecs=[encryption("new")])
        async with client, Worker(client, QUEUE, workflows=[Waiting]):
            handle = client.handle("w", workflow=Waiting.run)
            await handle.signal(Waiting.go, "b")
            assert await handle.result() == "ab"

    run(scene())


def those(events: tuple[Event, ...], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_worker_with_the_wrong_key_fails_tasks_and_the_right_one_goes_on(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/runs.db"

    async def scene() -> None:
        async with connect(address, codecs=[Encryption(NEW, current="new")]) as client:
            await client.start(Waiting.run, "a", id="w", **START)
            await client.handle("w").signal(Waiting.go, "b")
        client = connect(address, codecs=[Encryption(OLD, current="old")])
        async with client, Worker(client, QUEUE, workflows=[Waiting]):
            handle = client.handle("w", workflow=Waiting.run)

            async def has_failed() -> bool:
                return (await handle.describe()).task_attempt > 1

            await until(has_failed)
            reason = (await handle.describe()).task_failure
            assert reason is not None
            assert "encrypted with the key 'new'; known are only 'old'" in reason.message
            with pytest.raises(ConversionError, match="encrypted with the key 'new'"):
                await handle.history()
            with pytest.raises(QueryFailed, match="ConversionError: a payload is encrypted"):
                await handle.stack()
        client = connect(address, codecs=[encryption()])
        async with client, Worker(client, QUEUE, workflows=[Waiting]):
            handle = client.handle("w", workflow=Waiting.run)
            assert await handle.result() == "ab"
        async with connect(address, codecs=[Encryption(OLD, current="old")]) as client:
            with pytest.raises(ConversionError, match="encrypted with the key 'new'"):
                await client.handle("w", workflow=Waiting.run).result()
        async with connect(address) as client:
            with pytest.raises(ConversionError, match=r"'binary/encrypted'.* is it for a codec"):
                await client.handle("w", workflow=Waiting.run).result()

    run(scene())


@workflow.define
class Calling:
    @workflow.run
    async def run(self, word: str) -> str:
        return await workflow.execute_activity(echo, word, start_to_close=timedelta(minutes=1), task_queue="activities")


def test_attempt_that_a_worker_cannot_decode_fails() -> None:
    async def scene() -> None:
        service = SqliteService(None)
        right = Client(coded(service, [encryption()]))
        wrong = Client(coded(service, [Encryption(OLD, current="old")]))
        async with (
            right,
            Worker(right, QUEUE, workflows=[Calling]),
            Worker(wrong, "activities", activities=[echo]),
        ):
            handle = await right.start(Calling.run, "a", id="w", **START)
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            reason = caught.value.__cause__ and caught.value.__cause__.__cause__
            assert isinstance(reason, ApplicationFailure)
            assert reason.type == "ConversionError"
            assert "known are only 'old'" in str(reason)

    run(scene())


class Picky:
    """Refuses one word, and is broken for another."""

    def encode(self, payload: Payload) -> Payload:
        if b"refused" in bytes(payload.data):
            raise ConversionError("not this word")
        return payload

    def decode(self, payload: Payload) -> Payload:
        if bytes(payload.data) == b'"broken"':
            raise KeyError("oh")
        return payload


@activity.define
async def unspeakable() -> str:
    return "refused"


@workflow.define
class Unspeakable:
    @workflow.run
    async def run(self, by_activity: bool) -> str:
        if by_activity:
            return await workflow.execute_activity(unspeakable, start_to_close=timedelta(minutes=1))
        return "refused"

    @workflow.signal
    def say(self, word: str) -> None: ...


def test_what_a_codec_refuses_fails_clearly_and_where_it_was_said() -> None:
    async def scene() -> None:
        client = connect("sqlite://", codecs=[Picky()], encode_failures=False)
        async with client, Worker(client, QUEUE, workflows=[Unspeakable], activities=[unspeakable]):
            handle = await client.start(Unspeakable.run, True, id="activity", **START)
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            assert caught.value.__cause__ is not None
            assert str(caught.value.__cause__.__cause__) == "not this word"
            with pytest.raises(ConversionError, match="not this word"):
                await client.start("Any", "refused", id="start", **START)

            handle = await client.start(Unspeakable.run, False, id="workflow", **START)

            async def has_failed() -> bool:
                return bool(those((await handle.history()).events, WorkflowTaskFailed))

            await until(has_failed)
            failure = those((await handle.history()).events, WorkflowTaskFailed)[0].failure
            assert (failure.type, failure.message) == ("ConversionError", "not this word")

    run(scene())


def test_codec_that_breaks_neither_ends_a_worker_nor_loses_anything() -> None:
    async def scene() -> None:
        client = connect("sqlite://", codecs=[Picky()], encode_failures=False)
        async with client, Worker(client, QUEUE, workflows=[Unspeakable, Child], activities=[unspeakable]):
            handle = await client.start(Child.run, "broken", id="w", **START)

            async def has_failed() -> bool:
                failure = (await handle.describe()).task_failure
                return failure is not None and "Picky.decode raised KeyError: 'oh'" in failure.message

            await until(has_failed)
            other = await client.start(Child.run, "fine", id="other", **START)
            assert await other.result() == "fine-child"
            assert (await handle.describe()).status == "running"

    run(scene())


def test_cancelled_poll_through_codecs_loses_no_task() -> None:
    async def scene() -> None:
        service = coded(SqliteService(None), [encryption()])
        async with service:
            polling = asyncio.ensure_future(service.poll_workflow_task(QUEUE, "me"))
            await asyncio.sleep(0)
            polling.cancel()
            await Client(service).start("Some", id="w", **START)
            task = await service.poll_workflow_task(QUEUE, "me")
            assert task is not None

    run(scene())
