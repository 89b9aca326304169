"""A local AWS for demo and tests: MiniStack, which enforces IAM, the provider, stacks, and PostgreSQL."""
