"""An order that survives: payment, kitchen and delivery as one durable workflow.

    python examples/order.py demo           # kills its worker on purpose, and shows the order finish
    python examples/order.py work           # a worker with one order; kill it, start it again

The whole flow is `OrderWorkflow.run`, read from top to bottom. Each step is
recorded in ``order.db`` before the next begins; a new process goes on where the
old one died, and nobody is charged twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from monkit_workflow import Client, Retry, Worker, WorkflowHandle, activity, connect, workflow
from monkit_workflow.errors import AlreadyStarted, ApplicationFailure, WorkflowFailed

QUEUE = "orders"
SOON = timedelta(seconds=10)
PATIENT = Retry(initial=timedelta(milliseconds=200), attempts=20)
STATES = ("charged", "accepted", "cooked", "courier", "delivered")
"""What happens to an order, in this order; the demo kills the worker right after one of them."""


@dataclass
class Order:
    """What the customer wants."""

    id: str
    dishes: list[str]
    cents: int
    refused: bool = False
    """Whether the kitchen will refuse it, to see the money go back."""


@dataclass
class Delivered:
    """What the customer gets."""

    receipt: str
    courier: str


# Activities: everything that touches the world. Here the world is a file beside the database.


class Books:
    """Books of the shop: each line is something that really happened."""

    path = Path("order.books")

    def entries(self) -> list[dict[str, str]]:
        """What happened so far."""
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def once(self, what: str, order_id: str, detail: str) -> str:
        """Do something once: an order's second attempt finds what the first one did."""
        for entry in self.entries():
            if entry["what"] == what and entry["order"] == order_id:
                return entry["detail"]
        with self.path.open("a") as file:
            file.write(json.dumps({"what": what, "order": order_id, "detail": detail}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(f"  {what}: {detail}", flush=True)
        return detail


books = Books()


@activity.define
async def charge(order_id: str, cents: int) -> str:
    """Take the money; the order id is the key by which the bank knows a repeated request."""
    return books.once("charged", order_id, f"receipt {order_id}-1, {cents / 100:.2f}")


@activity.define
async def refund(order_id: str, receipt: str) -> str:
    """Give it back."""
    return books.once("refunded", order_id, receipt)


@activity.define
async def call_courier(order_id: str) -> str:
    """Find somebody with a bicycle."""
    return books.once("courier", order_id, "Ada, bicycle 7")


@activity.define
async def hand_over(order_id: str, courier: str) -> str:
    """At the door."""
    return books.once("delivered", order_id, f"{courier} rang the bell")


@workflow.define
class Delivery:
    """A child workflow: it could as well be another team's."""

    @workflow.run
    async def run(self, order_id: str) -> str:
        """Call a courier, let them ride, hand the order over."""
        courier = await workflow.execute_activity(call_courier, order_id, start_to_close=SOON, retry=PATIENT)
        await workflow.sleep(timedelta(seconds=1))  # the ride; it might take days
        await workflow.execute_activity(hand_over, order_id, courier, start_to_close=SOON, retry=PATIENT)
        return courier


@workflow.define
class OrderWorkflow:
    """One order, from the payment to the door."""

    def __init__(self) -> None:
        self._state = "new"
        self._answer: bool | None = None
        self._cooked = False

    @workflow.run
    async def run(self, order: Order) -> Delivered:
        """The whole flow. When a step fails, what was done before is undone."""
        async with workflow.Saga() as saga:
            receipt = await workflow.execute_activity(charge, order.id, order.cents, start_to_close=SOON, retry=PATIENT)
            saga.add(workflow.execute_activity, refund, order.id, receipt, start_to_close=SOON, retry=PATIENT)
            self._state = "charged"

            await workflow.wait_condition(lambda: self._answer is not None, timeout=timedelta(minutes=10))
            if not self._answer:
                raise ApplicationFailure("the kitchen is full", type="Refused")
            self._state = "accepted"

            await workflow.wait_condition(lambda: self._cooked, timeout=timedelta(hours=1))
            self._state = "cooked"

            courier = await workflow.execute_child(
                Delivery.run, order.id, id=f"delivery-{order.id}", timeout=timedelta(hours=2)
            )
            self._state = "delivered"
            return Delivered(receipt, courier)

    @workflow.signal
    def kitchen_answers(self, accepted: bool) -> None:
        """The kitchen takes the order, or not."""
        self._answer = accepted

    @workflow.signal
    def dishes_are_ready(self) -> None:
        """The kitchen is done."""
        self._cooked = True

    @workflow.query
    def state(self) -> str:
        """How far the order is."""
        return self._state


# The process: a worker, and the people of the kitchen.


async def kitchen(handle: WorkflowHandle[Delivered], order: Order) -> None:
    """The people: they look at the order and press buttons, as often as they have to."""
    while True:
        state = await handle.query(OrderWorkflow.state)
        if state == "charged":
            books.once("accepted", order.id, "not today" if order.refused else ", ".join(order.dishes))
            await handle.signal(OrderWorkflow.kitchen_answers, not order.refused)
        elif state == "accepted":
            await asyncio.sleep(0.5)  # they cook
            books.once("cooked", order.id, "smells good")
            await handle.signal(OrderWorkflow.dishes_are_ready)
        elif state in ("cooked", "delivered"):
            return
        await asyncio.sleep(0.05)


async def find_or_start(client: Client, order: Order) -> WorkflowHandle[Delivered]:
    """The order's workflow; the second process finds the first one's."""
    try:
        return await client.start(
            OrderWorkflow.run,
            order,
            id=f"order-{order.id}",
            task_queue=QUEUE,
            timeout=timedelta(days=1),
            id_reuse="reject",
        )
    except AlreadyStarted:
        print("  (the order is known: this process goes on with it)", flush=True)
        return client.handle(f"order-{order.id}", workflow=OrderWorkflow.run)


async def work(database: Path, order: Order) -> int:
    """Run a worker until the order is over; 0 if it was delivered."""
    books.path = database.with_suffix(".books")
    async with (
        connect(f"sqlite:///{database}") as client,
        Worker(
            client,
            QUEUE,
            workflows=[OrderWorkflow, Delivery],
            activities=[charge, refund, call_courier, hand_over],
        ),
    ):
        handle = await find_or_start(client, order)
        people = asyncio.create_task(kitchen(handle, order))
        try:
            delivered = await handle.result()
        except WorkflowFailed as failure:
            print(f"the order failed: {failure.__cause__}", flush=True)
            return 1
        finally:
            people.cancel()
        print(f"the order is done: {delivered.receipt}; {delivered.courier}", flush=True)
        return 0


# The demo: kill the worker in the middle, and start another one.


def run_and_kill(command: list[str], after: str | None) -> bool:
    """Run a worker; kill it, without a warning, when it has printed *after*. True if it came to its end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if after is not None and line.strip().startswith(f"{after}:"):
                process.send_signal(signal.SIGKILL)
                print(f"*** kill -9 {process.pid} ***", flush=True)
                return False
        return process.wait() == 0


def demo(database: Path, kills: list[str]) -> int:
    """Run an order and kill its worker after each of *kills*."""
    for path in database.parent.glob(f"{database.stem}.*"):
        path.unlink()
    command = [sys.executable, __file__, "work", "--database", str(database)]
    for number, after in enumerate([*kills, None], 1):
        print(f"worker {number} starts", flush=True)
        if run_and_kill(command, after):
            break
    books.path = database.with_suffix(".books")
    charged = sum(entry["what"] == "charged" for entry in books.entries())
    print(f"{len(kills)} workers were killed; the customer was charged {charged} time.")
    return 0 if charged == 1 else 1


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="An order that survives the death of its worker.")
    parser.add_argument("what", choices=["work", "demo"])
    parser.add_argument("--database", type=Path, default=Path("order.db"))
    parser.add_argument("--refused", action="store_true", help="let the kitchen refuse the order")
    parser.add_argument(
        "--kill-after", action="append", choices=STATES, help="demo: when to kill the worker; may be repeated"
    )
    chosen = parser.parse_args()
    if chosen.what == "demo":
        return demo(chosen.database, chosen.kill_after or ["charged", "courier"])
    order = Order("4711", ["ramen", "gyoza"], 2590, refused=chosen.refused)
    return asyncio.run(work(chosen.database, order))


if __name__ == "__main__":
    sys.exit(main())
