"""A local AWS: MiniStack as an HTTPS server that enforces IAM, the provider deployed in it, and its stacks."""
