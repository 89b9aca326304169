"""What the provider would put on a role, found with read-only calls."""
