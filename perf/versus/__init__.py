"""Each engine beside the others on the same files, and each file beside the others in the same engine."""
