"""A demo of the custom resource on the user's own machine, in an AWS emulator."""
