"""One module for each rule, and what the rules share."""
