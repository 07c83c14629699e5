"""Text of others, written so that nothing in it acts on what reads it: a terminal, a page, a spreadsheet, a parser."""
