"""`make mutants`: mutation tests.

mutmut generates the mutants: copies of a module with one small change each. mutmut's own runner ignores code outside of
functions, such as the table of properties. Therefore this module runs each mutant in a copy of the repository, with the
tests of the changed module only. A mutant that no test detects must be listed in `equivalent.toml`, with the reason why
no test can detect it.
"""

import ast
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

# The imports of the tests, except the provider. Each mutant runs in a fork that inherits these modules.
import hypothesis  # noqa: F401
import ministack.core.iam_evaluator  # noqa: F401
import moto  # noqa: F401
import pytest
from mutmut.mutation.file_mutation import create_mutations, deep_replace

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"cli": "cli/rotation_role_policy_cli", "": "handler/rotation_role_policy"}
"""By what the name of a module begins with."""
EQUIVALENT = Path(__file__).parent / "equivalent.toml"
_PAGE = "project/test_docs.py::test_the_generated_parts_of_a_page_are_up_to_date"
_POLICY = [
    "unit/rules/test_policy.py",
    "unit/rules/test_policy_meaning.py",
    "unit/rules/test_policy_summary.py",
    "unit/write/test_access_check.py",
    f"{_PAGE}[policy.md]",
]
_AUDIT = ["unit/audit/test_role.py", "unit/audit/test_needs.py", "unit/audit/test_invocation.py"]
TESTS = {
    "iam/conditions": ["unit/iam/test_evaluation.py"],
    "iam/resource_patterns": ["unit/iam/test_resource_patterns.py"],
    "iam/difference": ["unit/iam/test_difference.py"],
    "iam/principals": ["unit/iam/test_principals.py"],
    "iam/key_grants": ["unit/iam/test_resource_policies.py", "unit/write/test_resource_policies.py"],
    "iam/resource_policies": ["unit/iam/test_resource_policies.py"],
    "iam/wildcard": ["unit/iam/test_wildcard.py"],
    "rules/own_policies": ["unit/audit/test_needs.py", "unit/audit/test_role.py", "unit/rules/test_own_policies.py"],
    "audit/messages/commands": ["unit/audit/test_commands.py"],
    "cli/audit/page/comparison": ["unit/cli/test_page_comparison.py", "unit/cli/test_audit_html.py"],
    "audit/checks/access": _AUDIT,
    "audit/checks/functions": _AUDIT,
    "audit/checks/roles": _AUDIT,
    "audit/checks/secrets": _AUDIT,
    "audit/checks/superusers": _AUDIT,
    "rules/properties": ["unit/rules/test_properties.py", "unit/cli/test_options.py", f"{_PAGE}[properties.md]"],
    "rules/policy": _POLICY,
    "rules/statements": [*_POLICY, "unit/lookup/test_environment_key.py"],
    "rules/plan": ["unit/rules/test_plan.py", "unit/provider/test_redirection.py"],
    "rules/place": ["unit/lookup/test_resource.py", "unit/provider/test_refusal.py"],
    "rules/size": ["unit/rules/test_size.py"],
    "rules/warnings": ["unit/rules/test_warnings.py", "unit/lookup/test_environment_key.py"],
    "rules/calls": ["unit/audit/test_certain_conditions.py", "unit/write/test_access_check.py"],
    "rules/resource_policy_calls": ["unit/rules/test_resource_policy_calls.py", "unit/write/test_resource_policies.py"],
    "write/inline_policy": ["unit/write/test_inline_policy.py"],
    "write/apply": ["unit/write/test_apply.py"],
    "provider/crhelper_adapter": ["unit/provider/test_crhelper_adapter.py"],
    "provider/single_response": ["unit/provider/test_crhelper_adapter.py"],
    "provider/operation": [
        "unit/provider/test_operation.py",
        "unit/provider/test_redirection.py",
        "unit/provider/test_refusal.py",
    ],
    "provider/refusal": ["unit/provider/test_refusal.py"],
    "provider/schedule": ["unit/provider/test_schedule.py"],
    "provider/request": ["unit/provider/test_request.py", "unit/lookup/test_stacks.py"],
    "provider/response": ["unit/provider/test_response.py", "unit/provider/test_crhelper_adapter.py"],
}
KILLED_AT_LEAST = 0.95
WORKERS = 2


@dataclass(frozen=True)
class Change:
    """A mutant, identified without line numbers."""

    module: str
    place: str
    """The function, class or constant that is changed."""
    before: str
    """The lines before the change, without leading and trailing white space."""
    after: str
    """The lines after the change."""

    def __str__(self) -> str:
        return f"{self.module}.{self.place}\n  - {self.before}\n  + {self.after}"


def _path(module: str) -> str:
    """Return the path of a module in the repository."""
    first, _, rest = module.partition("/")
    return f"{PACKAGES[first]}/{rest}.py" if first in PACKAGES else f"{PACKAGES['']}/{module}.py"


def mutants(module: str) -> Iterator[tuple[Change, str]]:
    """Yield each mutant of a module: the change, and the full code."""
    path = _path(module)
    source = (ROOT / path).read_text()
    statements = ast.parse(source).body
    tree, mutations, _, _ = create_mutations(path, source)
    for mutation in mutations:
        code = deep_replace(tree, mutation.original_node, mutation.mutated_node).code  # type: ignore[union-attr]
        if code == source:
            continue
        old, new = source.splitlines(), code.splitlines()
        pairs = enumerate(zip(old, new, strict=False))
        # A mutation can also cut the end off.
        first = next((index for index, (before, after) in pairs if before != after), min(len(old), len(new)))
        while old[-1] == new[-1] and min(len(old), len(new)) > first:
            del old[-1], new[-1]
        place = _place(statements, first + 1)
        yield Change(module, place, *(" ".join(line.strip() for line in lines[first:]) for lines in (old, new))), code


def _place(statements: list[ast.stmt], line: int) -> str:
    """Return the dotted name of the function, class or constant at a line."""
    for statement in statements:
        if statement.lineno <= line <= (statement.end_lineno or 0):
            match statement:
                case ast.ClassDef(name=name, body=body):
                    return f"{name}.{_place(body, line)}".rstrip(".")
                case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    return name
                case ast.Assign(targets=[ast.Name(id=name)]):
                    return name
    return ""


def run(module: str, code: str, seconds: float) -> str:
    """Run the tests of a module with this code. Return ``passed``, ``failed`` or ``timed out``."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        (copy / _path(module)).write_text(code)
        process = multiprocessing.get_context("fork").Process(target=_pytest, args=(copy, TESTS[module]))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            return "timed out"
        return "failed" if process.exitcode else "passed"


def _pytest(copy: Path, tests: list[str]) -> None:
    os.chdir(copy)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.dont_write_bytecode = True
    options = ["-x", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
    status = pytest.main([*options, f"--basetemp={copy}/.tests", *(f"tests/{name}" for name in tests)])
    # Exit without waiting for threads that a test has left running.
    os._exit(status)


def outcomes(module: str) -> Iterator[tuple[Change, str]]:
    """Yield each mutant of a module and the result of its tests."""
    source = (ROOT / _path(module)).read_text()
    started = time.monotonic()
    if run(module, source, 600) != "passed":
        sys.exit(f"The tests of {module} fail without a change.")
    seconds = 10 + 3 * (time.monotonic() - started)
    if run(module, f"{source}\nraise RuntimeError", seconds) != "failed":
        sys.exit(f"The tests of {module} do not run the changed code.")
    changes, codes = zip(*mutants(module), strict=True)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as pool:
        yield from zip(changes, pool.map(run, repeat(module), codes, repeat(seconds)), strict=True)


def main(modules: list[str]) -> int:
    """Run the mutants of the modules, print the results, and return the exit status.

    The exit status is 1 if too many mutants survive, or if the survivors differ from `equivalent.toml`.
    """
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    listed = Counter(
        Change(entry["module"], *change) for entry in entries if entry["why"] for change in entry["changes"]
    )
    errors = [f"listed for an unknown module: {change}" for change in listed if change.module not in TESTS]
    print("module                     mutants  killed  (by timeout)  survived  listed as equivalent", flush=True)
    for module in modules:
        results = list(outcomes(module))
        survivors = Counter(change for change, result in results if result == "passed")
        timed_out = sum(result == "timed out" for _, result in results)
        expected = Counter({change: times for change, times in listed.items() if change.module == module})
        killed = len(results) - survivors.total()
        share = killed / len(results)
        counts = f"{len(results):7}  {killed:6}  {timed_out:12}  {survivors.total():8}  {expected.total():20}"
        print(f"{module:25}  {counts}  {share:.1%} killed", flush=True)
        if share < KILLED_AT_LEAST:
            errors.append(f"{module}: the tests detect less than {KILLED_AT_LEAST:.0%} of the mutants")
        errors += [f"survived, but not listed: {change}" for change in (survivors - expected).elements()]
        errors += [f"listed, but did not survive: {change}" for change in (expected - survivors).elements()]
    print(*errors, sep="\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TESTS)))
