"""The edge to AWS: calls with retries, a deadline and shared connections."""
