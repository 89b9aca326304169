"""A local AWS for the demo, the tests and the benchmarks: MiniStack, which enforces IAM, the provider, and stacks."""
