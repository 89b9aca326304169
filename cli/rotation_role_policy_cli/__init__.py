"""What runs on people's own machines, over the provider's own modules: preview, lint rule, schema. Never in Lambda."""
