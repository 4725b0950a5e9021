"""What this package's speed is, beside others': `python -m tests.benchmarks --help`."""
