"""The parts of the page, one module for each: a function from the sources to a `Section`."""
