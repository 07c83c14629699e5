"""Every check that needs a GPU, in one command and one document: `python -m perf.gpu`."""
