"""`make mutants`: does a test notice if a part of the rules is wrong?"""
