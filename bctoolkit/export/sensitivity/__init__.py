"""Which layers bear integers, and the search for those that return to float."""
