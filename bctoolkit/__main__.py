"""`python -m bctoolkit` is `bctk`."""

from bctoolkit.cli import main

if __name__ == "__main__":
    main()
