"""A static page that runs a bundle in a browser: `bctk app web`.

`page/` holds the page: HTML, a style sheet and modules of JavaScript without a framework. `write_page` puts them beside
the very files of a bundle and those of an engine, which npm fetches once.
"""

from bctoolkit.app.web.engines import ENGINES, engine_of
from bctoolkit.app.web.packages import Packages
from bctoolkit.app.web.writing import FORMS, Form, write_page

__all__ = ["ENGINES", "FORMS", "Form", "Packages", "engine_of", "write_page"]
