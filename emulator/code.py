"""The code of Lambda functions."""

import io
import zipfile


def zip_code(code: str, module: str = "index") -> bytes:
    """Return the zip file of a Lambda function with one module."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", code)
    return file.getvalue()
