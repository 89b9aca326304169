"""The least-privilege inline policy for the execution role of a Secrets Manager rotation function."""
