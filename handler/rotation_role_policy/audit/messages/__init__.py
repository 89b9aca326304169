"""The audit's words: what is wrong and what to do, for each finding. One module for each file in `checks/`.

The checks decide, and these modules put their decisions into words. No other code reads these words.
"""
