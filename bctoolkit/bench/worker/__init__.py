"""What runs in the timed child process: `python -m bctoolkit.bench.worker`."""
