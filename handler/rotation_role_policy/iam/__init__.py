"""IAM's own concepts: documents, wildcards, principals, evaluation. Pure: no call, nothing of this product."""
