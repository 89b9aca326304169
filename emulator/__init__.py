"""A local AWS for demo, tests and benchmarks: MiniStack, which enforces IAM, the provider, stacks, and PostgreSQL."""
