"""Measurements of cost and load. Nothing here is deployed, and no test depends on a measured value.

- ``make bench`` (`bench`): CPU time and memory of the provider, beside a plain implementation of the same job.
- ``make load`` (`provider_load`): many resources are created at the same time while IAM throttles.
- ``make audit-load`` (`audit_load`): audits of accounts with many rotations, with the quotas of a real account.

All three measure against the same fake AWS (`fake_aws`).
"""
