"""The files that `make docs` makes of real runs are as they would be made now. The README's tables: test_docs.py."""

from pathlib import Path

import pytest

from docs.generate.pages import FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_as_it_would_be_made_now(path: Path) -> None:
    assert path.read_text() == FILES[path](), "run `make docs`"
