"""The self-test of an opened bundle: a few golden images, what is behind wrong answers, what has passed before."""
