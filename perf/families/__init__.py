"""Every image classifier that people take from a library or write in a notebook, through our export and Keras's own.

Run from the top of the repository: `python -m perf.families`.
"""
