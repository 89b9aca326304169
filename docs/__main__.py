"""`make docs`: writes the README's tables anew, and the pictures."""

from docs.pages import write

write()
