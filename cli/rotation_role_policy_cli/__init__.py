"""The command line and the cfn-lint rules, built on the provider's own modules. Lambda does not get this package."""
