"""Many images through one bundle: rows in the order of the inputs, kept as they come, on one machine or on several."""
