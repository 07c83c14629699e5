"""How a report is laid out and written: terminal, Markdown, page, CSV, JUnit XML."""
