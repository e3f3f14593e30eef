"""Measurements against other ways to do the same: `python -m benchmarks.NAME [--quick] [--data DIR] [--json]`."""
