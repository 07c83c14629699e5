"""Apps that run a bundle where there is no Python: what `bctk app` writes."""
