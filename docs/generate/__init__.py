"""What the README has from the code: tables, and pictures of real runs. `make docs` writes it, a test compares it."""
