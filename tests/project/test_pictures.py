"""The files that `make docs` generates from real runs are up to date. test_docs.py covers the pages."""

from pathlib import Path

import pytest

from docs.generate.pages import FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == FILES[path](), "run `make docs`"
