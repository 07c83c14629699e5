"""The same work done by peers, turn by turn, and the times of our own hot paths.

Run from the top of the repository: `python -m perf.latency`. The modules `peers_*` and `turns` import nothing of ours,
so that a peer may live in an environment of its own.
"""
