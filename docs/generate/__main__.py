"""`make docs`: writes the README's tables anew, and the pictures."""

from docs.generate.pages import write

write()
