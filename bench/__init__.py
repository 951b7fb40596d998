"""Benchmarks: what ingest, rating and a million events cost, always beside something of the same run."""
