"""Commands of the benchmark: `bctk bench`, and what one does with its reports."""
