"""The expense example: a human decides over HTTP, also after the office was closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import expense
from monkit_workflow import testing
from monkit_workflow.errors import WorkflowFailed
from tests.helpers import BOUND_S

PROGRAM = Path(__file__).parents[2] / "examples" / "expense.py"


def test_demo_decides_about_two_claims_after_a_night() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM), "demo"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == ["  to decide: Ada, a train to Ulm, 49.90", "  to decide: Ada, a yacht, 90000.00"]
    assert lines[2:] == [
        "the office is closed for the night, and opens again",
        "  paid: Ada gets 49.90 for a train to Ulm",
        "grant: paid 49.90 to Ada",
        "refuse: refused",
    ]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "expenses.db"


def test_page_shows_claims_escaped_and_takes_each_decision_once(database: Path) -> None:
    async def scene() -> None:
        async with expense.office(database) as client, expense._browser(client) as browser, asyncio.timeout(BOUND_S):
            claim = {"who": "<b>Eve</b>", "what": '"><script>', "amount": "10"}
            assert (await browser.post("/expenses", data=claim)).status_code == 303
            page = (await browser.get("/")).text
            assert "&lt;b&gt;Eve&lt;/b&gt;" in page
            assert "<script>" not in page
            (workflow_id,) = [run.workflow_id async for run in client.list("WorkflowType = 'Expense'")]
            await expense._asked(client, workflow_id)
            assert (await browser.post(f"/expenses/{workflow_id}/refuse")).status_code == 303
            assert await client.handle(workflow_id).result() == "refused"
            again = await browser.post(f"/expenses/{workflow_id}/grant")
            assert (again.status_code, "decided already" in again.text) == (409, True)

    asyncio.run(scene())


@pytest.mark.parametrize("claim", [{}, {"who": "Ada", "what": "tea", "amount": "much"}, {"who": "", "amount": "inf"}])
def test_claim_that_is_none_is_refused(database: Path, claim: dict[str, str]) -> None:
    async def scene() -> None:
        async with expense.office(database) as client, expense._browser(client) as browser:
            assert (await browser.post("/expenses", data=claim)).status_code == 400
            assert await client.count() == 0

    asyncio.run(scene())


def test_other_sites_cannot_decide(database: Path) -> None:
    async def scene() -> None:
        async with expense.office(database) as client, expense._browser(client) as browser:
            for path in ("/expenses", "/expenses/e/grant"):
                response: httpx.Response = await browser.post(path, headers={"sec-fetch-site": "cross-site"})
                assert response.status_code == 403

    asyncio.run(scene())


def test_claim_that_nobody_decides_about_ends_by_itself() -> None:
    async def scene() -> None:
        async with (
            testing.Environment() as env,
            env.worker(expense.QUEUE, workflows=[expense.Expense], activities=[expense.decide, expense.pay]),
        ):
            handle = await env.client.start(
                expense.Expense.run,
                expense.Claim("Ada", "tea", 300),
                id="e",
                task_queue=expense.QUEUE,
                timeout=timedelta(days=8),
            )
            try:
                assert await handle.result() == "nobody decided"
            except WorkflowFailed as failure:
                raise AssertionError from failure

    asyncio.run(scene())
