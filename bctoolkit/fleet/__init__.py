"""The same benchmark on other machines, over the user's own OpenSSH client.

address      which machine, in a strict grammar
connection   one authenticated connection, over which commands run
programs     the few lines that run on a machine before anything of ours is there
environment  the interpreter and the packages that measure there
transfer     bundles, images and code, packed
agent        what runs there: the benchmark, detached, and its journal as a stream
session      one machine from the first connection to the last trace of us
pipeline     all machines at once, and the report they make together
"""
