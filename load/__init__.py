"""Benchmarks of the provider.

``make bench`` measures CPU time and memory of a cold start and of warm events, and compares the provider with two other
implementations of the same job:

- `plain`: a simple custom resource with crhelper and boto3, without checks.
- `minimal`: the same AWS calls with botocore and nothing else.

Each implementation runs in fresh processes (`measured`) against the same fake AWS (`fake_aws`). The implementations
take turns, because on a busy machine only measurements from the same time can be compared. After each process, the
benchmark verifies that the implementation did its job.

``make load`` creates many resources at the same time (`load`). ``make audit-load`` audits accounts with many rotations
(`audit`), whose calls have the rates of a real account (`audit_aws`).

Nothing in this package is deployed, and no test depends on a measured value.
"""
