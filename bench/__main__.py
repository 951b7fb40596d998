"""Measure ingest, request units, rating and cost in one run and print them side by side."""

from __future__ import annotations

import argparse
import os
import platform
import sys

from bench import cost, ingest, others, rating, request_units


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds; the figures say little")
    quick = parser.parse_args().quick
    print(
        f"Billproof benchmarks, Python {platform.python_version()}, {os.cpu_count()} cores.\n"
        f"Quote ratios: they compare what ran side by side. Absolute figures are those of this machine at this hour."
        f"{' This is a quick run, too short to quote at all.' if quick else ''}"
    )
    _progress("ingest")
    costs = ingest.measure(rounds=1 if quick else 25)
    print(ingest.report(costs), flush=True)
    _progress("request units")
    units = request_units.measure(requests=1 if quick else 10)
    print(request_units.report(units), flush=True)
    months = rating.measure(rating.QUICK if quick else rating.FULL, _progress)
    print(rating.report(months), flush=True)
    comparison = others.measure(others.QUICK if quick else others.FULL, _progress)
    print(others.report(comparison), flush=True)
    print(cost.report(cost.read_prices(), cost.measured_of(costs, units, months)), flush=True)


def _progress(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
