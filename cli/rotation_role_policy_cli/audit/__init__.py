"""The command `audit`: its output as an HTML page and in the terminal."""
