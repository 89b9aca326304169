"""`make docs`: write the generated parts of the README and the generated files."""

from docs.generate.pages import write

write()
