"""A fake AWS for measurements: much faster than its clients, and with quotas.

`server` runs it in a process of its own, so that its cost is not part of a measurement. `calls` has the calls that it
supports, `account` what they find, and `quotas` how many of them are admitted.
"""
