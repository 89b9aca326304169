"""Calls to AWS: retries, a deadline, and shared connections."""
