"""Two rotation functions for a PostgreSQL database, with the calls of AWS's own functions, in their order.

`zip_file` packs them for Lambda, where psycopg comes in a layer.
"""

import io
import zipfile
from pathlib import Path

SINGLE_USER = "rotation_functions.single_user.handler"
ALTERNATING_USERS = "rotation_functions.alternating_users.handler"
"""The names of the handlers in the zip file."""


def zip_file() -> bytes:
    """Return the deployment package of both functions."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(Path(__file__).parent.glob("*.py")):
            archive.write(path, f"{path.parent.name}/{path.name}")
    return file.getvalue()
