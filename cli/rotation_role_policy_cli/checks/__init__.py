"""What the rules for cfn-lint look at: literal values, references, who waits for whom."""
