"""The whole flow on one's own machine: an AWS emulator, and the demo and end-to-end tests that use it."""
