"""`make docs`: write the generated parts of the pages, and the generated files."""

from docs.generate.pages import write

write()
