"""`bctk app cpp`: a small C++ project that runs a bundle where there is no Python."""
