"""`make run`: the whole product on this machine, from the synthesized template to a verified bundle.

python -m local.run [--once] [--input FILE.csv] [--port N] [--out DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from lambdas.billing.times import Period, month_before, month_period, to_datetime
from local import report, sample
from local.client import Client, RequestFailed, send_in_batches
from local.clock import Clock
from local.deploy import deploy
from local.deployment import Deployment
from local.trace_file import UnreadableTrace, read_trace

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "cdk.out" / "Billproof-local.template.json"
_POLL_S = 0.3


class Played(Exception):
    """The run did not get where it should; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy, send, bill, prove, serve. Exit code 0 only when every invoice's bundle verified."""
    options = _options(arguments)
    try:
        trace = read_trace(options.input, "acme") if options.input else None
    except UnreadableTrace as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _run(options, trace)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, trace: list[dict[str, Any]] | None) -> int:
    logging.getLogger("moto").setLevel(logging.ERROR)
    report.step("Deploying the synthesized template on this machine")
    options.out.mkdir(parents=True, exist_ok=True)
    period = month_period(trace[0]["time"][:7] if trace else sample.PERIOD)
    start = to_datetime(period.start) - timedelta(days=1)  # accounts exist before their usage
    with deploy(TEMPLATE, Clock(start), log=options.out / "functions.log") as deployment:
        report.fact(deployment.summary)
        try:
            url = deployment.serve(options.port)
        except OSError as error:
            print(f"port {options.port}: {error.strerror}. Take another: make run PORT=0", file=sys.stderr)
            return 2
        report.fact(f"the API answers at {url}")
        try:
            key, verified = _play(deployment, url, period, trace, options.out)
        except (RequestFailed, Played) as error:
            print(f"\nThis run failed: {error}\nThe functions' log: {options.out / 'functions.log'}", file=sys.stderr)
            return 1
        if not options.once:
            _keep_serving(url, key)
        return 0 if verified else 1


def _play(
    deployment: Deployment, url: str, period: Period, trace: list[dict[str, Any]] | None, out: Path
) -> tuple[str, bool]:
    """One month from usage to verified bundles; answers an operator's key and whether every bundle verified."""
    key = deployment.invoke("lambdas.handlers.create_operator_key.handler", {"name": "make run"})["key"]
    operator = Client(url, key)
    _set_up(operator, period.start[:10], trace is not None)
    if trace is None:
        deployment.clock.move_to(to_datetime(period.start) + timedelta(hours=6))
        _bill(deployment, operator, month_before(period.name))  # fees in advance, for the period that begins
    deployment.clock.move_to(to_datetime(period.end) - timedelta(minutes=5))
    report.step(f"Sending usage of {period.name} over HTTP")
    if trace is None:
        totals = _send(operator, [item.event for item in sample.usage_events()])
        for name, value in _send(operator, [item.event for item in sample.troubled_events()]).items():
            totals[name] += value
    else:
        totals = _send(operator, trace)
    report.usage_totals(totals)
    if trace is None:
        report.fact("a first price for mistral-large is published, dated back to the start of the month")
        operator.post(f"/v1/rate-cards/{sample.card(sample.ACME.model)}/versions", sample.first_price())
    deployment.clock.move_to(to_datetime(period.end) + timedelta(hours=6))
    run = _bill(deployment, operator, period.name)
    invoices = operator.get("/v1/invoices", entity=sample.ENTITY["id"], year=run["opened_at"][:4])["items"]
    numbers = sorted(str(item["number"]) for item in invoices)
    for number in numbers:
        _show(operator.get(f"/v1/invoices/{number}")["document"])
    report.controls(operator.get(f"/v1/billing-runs/{run['run_id']}/accounts")["items"])
    first = trace[len(trace) // 2] if trace else next(item.event for item in sample.usage_events())
    report.step("Tracing one event")
    report.trace(operator.get("/v1/trace/event", customer=first["subject"], source=first["source"], id=first["id"]))
    verified = [_verify(operator, number, out) for number in numbers]
    return key, bool(verified) and all(verified)


def _set_up(operator: Client, first_day: str, recorded: bool) -> None:
    """The catalogue: issuing entity, plans, prices, customers, contracts. A recorded trace is acme's, at the first
    version of its card."""
    operator.post("/v1/entities", sample.ENTITY)
    accounts = [sample.ACME] if recorded else sample.ACCOUNTS
    for account in accounts:
        operator.post("/v1/plans", sample.plan(account.model))
    if recorded:
        first = {**sample.versions(sample.ACME.model)[0], "effective_from": first_day}
        operator.post(f"/v1/rate-cards/{sample.card(sample.ACME.model)}/versions", first)
    else:
        for card, version in sample.published_before():
            operator.post(f"/v1/rate-cards/{card}/versions", version)
    for account in accounts:
        operator.post("/v1/customers", account.customer)
        operator.post("/v1/contracts", sample.contract(account, first_day))


def _show(invoice: dict[str, Any]) -> None:
    report.invoice(invoice)
    if any(sample.is_prepaid(account) for account in sample.ACCOUNTS if account.id == invoice["customer"]["id"]):
        report.remark(
            "prepaid", "this plan is paid from credits. Credits are not part of this release: the total is due as such."
        )


def _send(operator: Client, events: list[dict[str, Any]]) -> dict[str, int]:
    with report.progress(len(events), "events") as moved:
        return send_in_batches(operator.send_usage, events, progress=moved)


def _bill(deployment: Deployment, operator: Client, period: str) -> dict[str, Any]:
    """Start the billing run and wait until its execution ends. Raises Played where it does not seal."""
    report.step(f"Billing run of {period}")
    run: dict[str, Any] = operator.post(
        "/v1/billing-runs", {"entity": sample.ENTITY["id"], "period": period, "mode": "final"}
    )
    running = True
    while running:
        time.sleep(_POLL_S)
        running = any(execution.status == "RUNNING" for execution in deployment.executions())
        run = operator.get(f"/v1/billing-runs/{run['run_id']}")
        report.run_progress(run)
    if run["totals"]:
        report.run_totals(run)
    if run["status"] != "sealed":
        failed = "; ".join(str(execution) for execution in deployment.executions() if execution.status != "SUCCEEDED")
        raise Played(f"the run ended {run['status']}: {failed[:600]}")
    return run


def _verify(operator: Client, number: str, out: Path) -> bool:
    """Download the bundle by its link and verify it in a process of its own, as an outsider would."""
    report.step(f"Evidence bundle of {number}")
    link = operator.get(f"/v1/invoices/{number}/bundle")
    path = out / f"{number}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(link["url"]) as answer:  # noqa: S310 - our own presigned link
        path.write_bytes(answer.read())
    report.fact(f"downloaded to {path}")
    report.fact(f"python3 -m lambdas.cli verify {path}")
    checked = subprocess.run(
        [sys.executable, "-m", "lambdas.cli", "verify", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report.quoted(checked.stdout + checked.stderr)
    return checked.returncode == 0


def _keep_serving(url: str, key: str) -> None:
    report.step("Serving until Ctrl-C")
    report.fact(f"URL            {url}")
    report.fact(f"operator key   {key}")
    report.fact(
        f"try            curl -H 'Authorization: Bearer {key}' '{url}/v1/invoices?entity={sample.ENTITY['id']}'"
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    report.fact("stopped")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit after the proof instead of serving on")
    parser.add_argument("--input", type=Path, help="a recorded trace in place of the sample month")
    parser.add_argument("--port", type=int, default=8787, help="port of the API; 0 takes a free one")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="where bundles and logs go")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65_535:
        parser.error(f"--port {options.port}: a port is 0 to 65535")
    return options


if __name__ == "__main__":
    sys.exit(main())
