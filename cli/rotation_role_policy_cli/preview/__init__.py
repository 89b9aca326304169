"""The command `preview`. It makes only read calls."""
