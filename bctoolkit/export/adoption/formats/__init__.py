"""How files of each format are read, and how what they lack is written into them."""
