"""The command `preview`: what the provider would do, found out with read calls."""
