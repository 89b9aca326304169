"""Python imports this at start-up if its folder is on PYTHONPATH: gives a function in MiniStack Lambda's JSON log."""

import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    import json_log  # type: ignore[import-not-found]  # in the same folder, which is on PYTHONPATH

    json_log.install()
