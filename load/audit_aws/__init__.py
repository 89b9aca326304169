"""A fake AWS with many rotations and the rates of a real account, for `load.audit_load`."""
