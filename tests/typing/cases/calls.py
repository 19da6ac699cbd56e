"""What a type checker must find in code that uses workflows. A comment ``# error: text`` says what it finds there."""

from datetime import timedelta

from monkit_workflow import Client, activity, workflow

S = timedelta(seconds=10)


@activity.define
async def charge(order_id: str, cents: int) -> str:
    return f"{order_id} {cents}"


@activity.define
def weigh(order_id: str) -> float:
    return float(len(order_id))


@workflow.define
class Order:
    def __init__(self) -> None:
        self.approved = False

    @workflow.run
    async def run(self, order_id: str) -> float:
        receipt: str = await workflow.execute_activity(charge, order_id, 1999, start_to_close=S)
        await workflow.execute_activity(charge, order_id, "1999", start_to_close=S)  # error: incompatible type
        await workflow.execute_activity(charge, order_id, start_to_close=S)  # error: incompatible type
        await workflow.execute_activity(charge, order_id, 1, 2, start_to_close=S)  # error: incompatible type
        wrong: int = await workflow.execute_activity(charge, order_id, 1, start_to_close=S)  # error: incompatible type
        await workflow.execute_activity(charge, order_id, 1999, start_to_close=10)  # error: No overload variant
        await workflow.execute_activity(charge, order_id, 1, start_to_closed=S)  # error: Unexpected keyword argument
        weight: float = await workflow.execute_activity(weigh, receipt, start_to_close=S)
        named: str = await workflow.execute_activity("charge", order_id, 1, returns=str, start_to_close=S)
        pending = workflow.start_activity(charge, order_id, 1999, start_to_close=S, cancellation="wait")
        receipt = await pending
        weight = await pending  # error: Incompatible types in assignment
        child: float = await workflow.execute_child(Order.run, "o-2", timeout=S)
        child = await workflow.execute_child(Order.run, 2, timeout=S)  # error: incompatible type
        handle = await workflow.start_child(short, "o-3", timeout=S)
        text: str = await handle
        child = await handle.result()  # error: Incompatible types in assignment
        print(wrong, named, text, child)
        return weight

    @workflow.signal
    def approve(self, by: str) -> None:
        self.approved = bool(by)

    @workflow.query
    def is_approved(self) -> bool:
        return self.approved


@workflow.define
async def short(order_id: str) -> str:
    names = workflow.channel("names", str)
    name: str = await names.receive()
    number: int = await names.receive()  # error: Incompatible types in assignment
    value: int = workflow.side_effect(lambda: 3)
    text: str = workflow.side_effect(lambda: 3)  # error: Incompatible types in assignment
    print(number, value, text)
    return name + order_id


async def use(client: Client) -> None:
    handle = await client.start(Order.run, "o-1", id="o-1", task_queue="orders", timeout=S)
    result: float = await handle.result()
    wrong: str = await handle.result()  # error: Incompatible types in assignment
    approved: bool = await handle.query(Order.is_approved)
    wrong = await handle.query(Order.is_approved)  # error: incompatible type
    await client.start(Order.run, 1, id="o-1", task_queue="orders", timeout=S)  # error: incompatible type
    await client.start(Order.run, "o-1", id="o-1", task_queue="orders")  # error: No overload variant
    other = await client.start(short, "o-1", id="o-1", task_queue="orders", timeout=S)
    wrong = await other.result()
    again = client.handle("o-1", workflow=Order.run)
    result = await again.result()
    print(result, wrong, approved)
