"""An expense that a human decides about, in a browser, minutes or days later.

    python examples/expense.py              # http://127.0.0.1:8080; stop it, start it again: what was asked still is
    python examples/expense.py demo         # files two expenses and decides about them over HTTP

`decide` asks and returns at once: its attempt stays open, also while no process
runs, until somebody clicks. The click completes it by the ids of workflow and activity.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from monkit_workflow import Client, Retry, Worker, activity, connect, workflow
from monkit_workflow.errors import ActivityFailure, NotFound

QUEUE = "expenses"
DECISION = "decision"


@dataclass
class Claim:
    """What somebody wants to have paid."""

    who: str
    what: str
    cents: int


@activity.define
async def decide(claim: Claim) -> bool:
    """Ask a human; the answer comes later, from the page."""
    print(f"  to decide: {claim.who}, {claim.what}, {claim.cents / 100:.2f}", flush=True)
    activity.complete_later()


@activity.define
async def pay(claim: Claim) -> str:
    """Move the money."""
    print(f"  paid: {claim.who} gets {claim.cents / 100:.2f} for {claim.what}", flush=True)
    return f"paid {claim.cents / 100:.2f} to {claim.who}"


@workflow.define
class Expense:
    """One claim, from its filing to its end."""

    @workflow.run
    async def run(self, claim: Claim) -> str:
        """Ask, wait for a week at most, and pay."""
        try:
            granted = await workflow.execute_activity(decide, claim, id=DECISION, start_to_close=timedelta(days=7))
        except ActivityFailure:
            return "nobody decided"
        if not granted:
            return "refused"
        patient = Retry(attempts=10)
        return await workflow.execute_activity(pay, claim, start_to_close=timedelta(seconds=30), retry=patient)


PAGE = """<!doctype html><meta charset=utf-8><title>Expenses</title>
<meta name=viewport content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui;max-width:42em;margin:2em auto;padding:0 1em}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.3em .6em;border-bottom:1px solid #8884}}
form{{display:inline}}label{{margin-right:.6em}}:root{{color-scheme:light dark}}</style>
<h1>Expenses</h1><table><tr><th>who<th>what<th>amount<th>state<th></tr>{rows}</table>
<h2>A new one</h2><form method=post action=/expenses>
<label>who <input name=who required maxlength=80></label><label>what <input name=what required maxlength=200></label>
<label>amount <input name=amount type=number min=0.01 max=100000 step=0.01 required></label>
<button>file it</button></form>
"""
BUTTONS = """<form method=post action="/expenses/{id}/grant"><button>grant</button></form>
<form method=post action="/expenses/{id}/refuse"><button>refuse</button></form>"""


class Desk:
    """The page. A claim is shown as its run's memo says, so that no table of our own has to be kept."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def page(self, request: Request) -> Response:
        """All claims, the newest first."""
        rows = []
        async for run in self._client.list("WorkflowType = 'Expense'", limit=100):
            claim = run.memo["claim"]
            is_open = run.status == "running"
            buttons = BUTTONS.format(id=html.escape(run.workflow_id, quote=True)) if is_open else ""
            state = "to decide" if is_open else run.memo.get("state", run.status)
            cells = (claim["who"], claim["what"], f"{claim['cents'] / 100:.2f}", state)
            rows.append(f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in cells)}<td>{buttons}</tr>")
        return HTMLResponse(PAGE.format(rows="".join(rows)))

    async def file(self, request: Request) -> Response:
        """A new claim."""
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            claim = Claim(form["who"][:80], form["what"][:200], round(float(form["amount"]) * 100))
        except (KeyError, ValueError, OverflowError):
            return PlainTextResponse("who, what and amount are needed", 400)
        await self._client.start(
            Expense.run,
            claim,
            id=f"expense-{uuid4()}",
            task_queue=QUEUE,
            timeout=timedelta(days=8),
            memo={"claim": claim},
        )
        return RedirectResponse("/", 303)

    async def decide(self, request: Request) -> Response:
        """A human has clicked."""
        decision = self._client.activity(workflow_id=request.path_params["id"], activity_id=DECISION)
        try:
            await decision.complete(request.path_params["how"] == "grant")
        except NotFound:
            return PlainTextResponse("this is decided already, or not asked yet", 409)
        return RedirectResponse("/", 303)

    def app(self) -> Starlette:
        """The routes; other sites' pages may not post to them."""

        async def guarded(request: Request) -> Response:
            if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                return PlainTextResponse("from this page only", 403)
            return await (self.file if request.url.path == "/expenses" else self.decide)(request)

        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/expenses", guarded, methods=["POST"]),
                Route("/expenses/{id}/{how:str}", guarded, methods=["POST"]),
            ]
        )


@asynccontextmanager
async def office(database: Path) -> AsyncIterator[Client]:
    """A client and its worker."""
    async with (
        connect(f"sqlite:///{database}") as client,
        Worker(client, QUEUE, workflows=[Expense], activities=[decide, pay]),
    ):
        yield client


async def serve(database: Path, port: int) -> None:
    """Page and worker in one process."""
    async with office(database) as client:
        print(f"http://127.0.0.1:{port}", flush=True)
        await uvicorn.Server(uvicorn.Config(Desk(client).app(), port=port, log_level="warning")).serve()


async def demo() -> None:
    """Two claims; the office closes between the question and the answer."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "expenses.db"
        async with office(database) as client, _browser(client) as browser:
            for what, amount in (("a train to Ulm", "49.90"), ("a yacht", "90000")):
                await browser.post("/expenses", data={"who": "Ada", "what": what, "amount": amount})
            ids = [run.workflow_id async for run in client.list("WorkflowType = 'Expense'")]
            for workflow_id in ids:
                await _asked(client, workflow_id)
        print("the office is closed for the night, and opens again", flush=True)
        async with office(database) as client, _browser(client) as browser:
            yacht, train = ids
            for workflow_id, how in ((train, "grant"), (yacht, "refuse")):
                await browser.post(f"/expenses/{workflow_id}/{how}")
                print(f"{how}: {await client.handle(workflow_id, workflow=Expense.run).result()}", flush=True)


def _browser(client: Client) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Desk(client).app()), base_url="http://127.0.0.1")


async def _asked(client: Client, workflow_id: str) -> None:
    """Wait until the question is with the human."""
    while not (await client.handle(workflow_id).describe()).pending_activities:
        await asyncio.sleep(0.01)


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="?", choices=["serve", "demo"], default="serve")
    parser.add_argument("--database", type=Path, default=Path("expenses.db"))
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    asyncio.run(demo() if arguments.what == "demo" else serve(arguments.database, arguments.port))


if __name__ == "__main__":
    main()
