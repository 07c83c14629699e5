"""What the measurements say: statistics, parity, verdicts, comparisons."""
