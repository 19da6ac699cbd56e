"""What values come through a payload unchanged, and what is said of the others."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, NoReturn, NotRequired, Optional, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest

from monkit_workflow import Client, Converter, JsonConverter, Worker, activity, connect, workflow
from monkit_workflow.errors import ConversionError
from monkit_workflow.payload import Payload, json_payload
from tests.workflow.running import QUEUE, START, run, working

T = TypeVar("T")
JSON = JsonConverter()
WHEN = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)
NUMBER = UUID(int=7)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Labels(TypedDict):
    name: str
    note: NotRequired[str]


@dataclass
class Item:
    name: str
    cents: int = 5
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    id: UUID
    items: list[Item]
    placed: datetime
    gift: Item | None = None
    raw: bytes = b""
    within: timedelta = timedelta(days=1)
    price: Decimal = Decimal("1.10")
    colours: frozenset[Colour] = frozenset()
    seen: dict[str, set[int]] = field(default_factory=dict)
    at: Point = field(default_factory=lambda: Point(1))
    labels: Labels = field(default_factory=lambda: Labels(name="x"))
    extra: Any = None


@dataclass
class Box(Generic[T]):
    content: T


class Card(pydantic.BaseModel):
    number: str
    until: date


class Cash(pydantic.BaseModel):
    coins: set[int]


class Payment(pydantic.RootModel[Card | Cash]):
    pass


class Exact(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime
    order: str = pydantic.Field(alias="orderId")
    parts: tuple[int, ...] = ()


@dataclass
class Bill:
    paid: Card | None
    open: list[Cash]
    by_name: dict[str, Payment]


class Accepted(msgspec.Struct, tag=True):
    by: str


class Refused(msgspec.Struct, tag=True):
    reason: str


CARD = Card(number="7", until=date(2030, 1, 1))
ORDER = Order(
    id=NUMBER,
    items=[Item("a"), Item("b", 7, ["t"])],
    placed=WHEN,
    gift=Item("c"),
    raw=b"\x00\xff",
    colours=frozenset({Colour.RED}),
    seen={"x": {1, 2}},
    extra={"deep": [1, None]},
)
VALUES: list[tuple[Any, Any]] = [
    (Item, Item("a")),
    (Order, ORDER),
    (list[Order], [ORDER]),
    (Optional[dict[str, Order]], {"a": ORDER}),  # noqa: UP045
    (dict[str, Order] | None, None),
    (Box[Item], Box(Item("a"))),
    (list[Box[datetime]], [Box(WHEN)]),
    (Card, CARD),
    (Card | None, CARD),
    (list[Card], [CARD]),
    (Bill, Bill(CARD, [Cash(coins={1, 5})], {"a": Payment(Cash(coins={2}))})),
    (Payment, Payment(CARD)),
    (Exact, Exact(when=WHEN, orderId="o", parts=(1,))),
    (Accepted | Refused, Refused("late")),
    (list[Accepted | Refused], [Accepted("me"), Refused("late")]),
    (datetime, WHEN),
    (date, WHEN.date()),
    (time, time(1, 2)),
    (timedelta, timedelta(days=400, microseconds=1)),
    (Decimal, Decimal("0.10")),
    (UUID, NUMBER),
    (UUID | None, NUMBER),
    (Colour, Colour.BLUE),
    (Level, Level.HIGH),
    (dict[Colour, int], {Colour.RED: 1}),
    (Literal["a", "b"], "a"),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (Point, Point(1, 2)),
    (Labels, Labels(name="n", note="x")),
    (Sequence[int], [1]),
    (Mapping[str, Item], {"a": Item("a")}),
    (dict[int, str], {1: "a"}),
    (dict[str, object], {"a": [1, "b"]}),
    (object, {"a": 1}),
    (int | str | None, "x"),
    (float, 0.1),
    (int, 2**70),
    (list[bytes], [b"\xff"]),
    (bytes, b"\x00"),
    (bytes | None, b"\x00"),
    (bytes | int, b"\x00"),
    (bytearray, bytearray(b"\x00")),
    (Any, b"\x00"),
    (Any, {"a": [1, 2.5, None, True, "x"]}),
    (None, None),
]


@pytest.mark.parametrize(("hint", "value"), VALUES, ids=lambda item: None if item is None else str(item)[:40])
def test_value_comes_back_as_it_was(hint: Any, value: Any) -> None:
    JSON.check(hint)
    found = JSON.decode(JSON.encode(value), hint)
    assert (type(found), found) == (type(value), value)


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    assert JSON.decode(json_payload(b'{"name": "a", "new": {"x": 1}}'), Item) == Item("a", 5, [])
    assert JSON.decode(json_payload(b'{"items": [{"name": "a", "old": 1}]}'), dict[str, list[Item]]) == {
        "items": [Item("a")]
    }
    with pytest.raises(ConversionError, match=r"does not fit Item: Object missing required field `name`"):
        JSON.decode(json_payload(b"{}"), Item)


def test_without_an_annotation_it_is_plain_json() -> None:
    assert JSON.decode(JSON.encode(Item("a")), Any) == {"name": "a", "cents": 5, "tags": []}


@dataclass
class Ambiguous:
    either: list[Item | Order]


UNIONS = [Item | Order, list[Item | Order], Ambiguous, Card | Cash, Card | str, str | datetime, UUID | str, bytes | str]


@pytest.mark.parametrize("hint", UNIONS, ids=str)
def test_union_whose_members_look_alike_is_refused_with_what_to_do(hint: Any) -> None:
    with pytest.raises(ConversionError, match=r"cannot be made from JSON: .*JSON does not say which .*tag=True"):
        JSON.check(hint)
    with pytest.raises(ConversionError, match=r"cannot be made from JSON"):
        JSON.decode(json_payload(b"{}"), hint)


@dataclass
class Holder:
    paths: dict[str, list[pathlib.Path]]


@pytest.mark.parametrize("hint", [pathlib.Path, Holder, Iterable[int], Callable[[], int], complex], ids=str)
def test_type_that_nothing_is_known_of_is_refused(hint: Any) -> None:
    with pytest.raises(ConversionError, match=r"nothing is known of .*; use a dataclass"):
        JSON.check(hint)


def test_what_has_no_json_is_refused_when_it_is_sent() -> None:
    with pytest.raises(ConversionError, match=r"a PosixPath cannot be encoded as JSON .*; use a dataclass"):
        JSON.encode(pathlib.Path("/x"))
    with pytest.raises(ConversionError, match="a dict cannot be encoded"):
        JSON.encode({(1, 2): 3})


def test_bytes_where_something_else_is_expected_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"bytes were sent where int \| None is expected"):
        JSON.decode(JSON.encode(b"x"), int | None)


def test_encoding_of_somebody_else_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"'binary/zlib', which this converter does not know.* codec"):
        JSON.decode(Payload(binary=b"x", encoding="binary/zlib"), int)


@activity.define
async def guess(value: int) -> Item | Order:
    raise NotImplementedError


@workflow.define
class Guessing:
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal
    def take(self, value: str | datetime) -> None: ...


@workflow.define
class Endless:
    @workflow.run
    async def run(self, order: Order) -> NoReturn:
        workflow.continue_as_new(order)


def test_worker_refuses_types_that_its_converter_cannot_decode() -> None:
    client = connect("sqlite://")
    with pytest.raises(ConversionError, match=r"^guess: .*Item \| .*Order cannot be made from JSON"):
        Worker(client, QUEUE, activities=[guess])
    with pytest.raises(ConversionError, match=r"^Guessing\.take: str \| datetime\.datetime cannot be made from JSON"):
        Worker(client, QUEUE, workflows=[Guessing])
    Worker(client, QUEUE, workflows=[Endless])


class Reversed(Converter):
    """One of the user's own: text only, backwards."""

    def encode(self, value: object) -> Payload:
        return Payload(binary=str(value)[::-1].encode(), encoding="text/backwards")

    def decode(self, payload: Payload, hint: Any) -> Any:
        return payload.binary.decode()[::-1]


def test_converter_of_ones_own_is_used_everywhere_and_decides_what_it_can_decode() -> None:
    seen = []

    @activity.define
    async def note(value: str | datetime) -> str:
        seen.append(value)
        return f"{value}!"

    @workflow.define
    class Noting:
        @workflow.run
        async def run(self, value: str) -> str:
            return await workflow.execute_activity(note, value, start_to_close=timedelta(minutes=1))

    async def scene() -> None:
        client = Client(connect("sqlite://").service, converter=Reversed())
        async with client, Worker(client, QUEUE, workflows=[Noting], activities=[note]):
            handle = await client.start(Noting.run, "abc", id="w", **START)
            assert await handle.result() == "abc!"
            first = (await handle.history()).events[0]
            assert first.input[0].binary == b"cba"  # type: ignore[attr-defined]

    run(scene())
    assert seen == ["abc"]


@activity.define
async def total(order: Order, gift: Item | None) -> Box[Decimal]:
    assert isinstance(order.items[0], Item)
    return Box(order.price * sum(item.cents for item in order.items))


@workflow.define
class Billing:
    def __init__(self) -> None:
        self.payments: list[Payment] = []

    @workflow.run
    async def run(self, orders: list[Order]) -> Bill:
        found = await workflow.execute_activity(total, orders[0], None, start_to_close=timedelta(minutes=1))
        assert found == Box(Decimal("13.20"))
        await workflow.wait_condition(lambda: bool(self.payments))
        return Bill(None, [], {"it": self.payments[0]})

    @workflow.signal
    def pay(self, payment: Payment) -> None:
        self.payments.append(payment)


def test_rich_values_pass_through_a_whole_workflow() -> None:
    async def scene() -> None:
        async with working([Billing], [total]) as client:
            handle = await client.start(Billing.run, [ORDER], id="w", **START)
            await handle.signal(Billing.pay, Payment(CARD))
            assert await handle.result() == Bill(None, [], {"it": Payment(CARD)})

    run(scene())
