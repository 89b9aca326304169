"""`make mutants`: mutation tests of the modules with the rules of the contract."""
