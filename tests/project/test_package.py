"""The package that `pipx install` builds: it has the command, and does not need the packages of the Lambda function."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rotation_role_policy import __version__
from tests import ROOT

PAGE = ROOT / "cli" / "rotation_role_policy_cli" / "audit" / "page"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_contains_the_command_all_modules_and_the_version(wheel: Path) -> None:
    assert wheel.name == f"rotation_role_policy-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        metadata_folder = f"rotation_role_policy-{__version__}.dist-info"
        assert (
            "rotation-role-policy = rotation_role_policy_cli.main:main"
            in archive.read(f"{metadata_folder}/entry_points.txt").decode()
        )
        metadata = archive.read(f"{metadata_folder}/METADATA").decode().splitlines()
    modules = {
        str(path.relative_to(ROOT / folder))
        for folder, package in (("handler", "rotation_role_policy"), ("cli", "rotation_role_policy_cli"))
        for path in (ROOT / folder / package).rglob("*.py")
    }
    assert modules == {file for file in files if file.endswith(".py")}
    data_files = {
        "properties.schema.json",
        "audit/audit.schema.json",
        *(f"audit/page/{path.name}" for path in PAGE.iterdir() if path.suffix in (".jinja", ".css", ".js")),
    }
    assert {f"rotation_role_policy_cli/{file}" for file in data_files} <= files
    requirements = [line for line in metadata if line.startswith("Requires-Dist") and "extra" not in line]
    assert [line.removeprefix("Requires-Dist: ") for line in requirements] == [
        "boto3>=1.40", "cfn-lint<2,>=1.3", "click>=8.2", "jinja2>=3.1", "jsonschema>=4.18", "pyyaml>=6", "rich>=14",
    ]  # fmt: skip


def test_the_command_runs_without_crhelper_and_cfn_lint(wheel: Path) -> None:
    program = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
# Imports of these packages fail, as if they were not installed.
sys.modules |= {"crhelper": None, "cfnlint": None}
runpy.run_module("rotation_role_policy_cli", run_name="__main__")
"""
    command = [sys.executable, "-c", program, str(wheel)]
    process = subprocess.run([*command, "--version"], check=True, capture_output=True, text=True)
    assert process.stdout == f"rotation-role-policy {__version__}\n"
    process = subprocess.run(
        [*command, "preview", "--template", "nowhere"], check=False, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (1, "error: nowhere: No such file or directory.\n")
