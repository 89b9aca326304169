"""`make mutants`: would the tests of a module notice if any part of it were wrong?

mutmut makes the mutants: copies of a module, each with one small change. Its own runner leaves out what stands outside
of functions, and there the table of properties stands; so each is run here, in a copy of this folder, by the tests of
its module alone. One that they don't notice has to be in `equivalent.toml`, with the reason why nobody could.
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

# What the tests import, but for the provider itself: every mutant's process is forked with it.
import hypothesis  # noqa: F401
import ministack.core.iam_evaluator  # noqa: F401
import moto  # noqa: F401
import pytest
from mutmut.mutation.file_mutation import create_mutations, deep_replace

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "handler/rotation_role_policy"
EQUIVALENT = Path(__file__).parent / "equivalent.toml"
_PAGE = "project/test_docs.py::test_the_generated_parts_of_a_page_are_up_to_date"
TESTS = {
    "properties": ["unit/test_properties.py", f"{_PAGE}[properties.md]"],
    "policy": ["unit/test_policy.py", "unit/test_policy_meaning.py", f"{_PAGE}[policy.md]"],
    "inline_policy": ["unit/test_inline_policy.py"],
    "cloudformation/provider": ["unit/cloudformation/test_provider.py"],
    "cloudformation/request": ["unit/cloudformation/test_provider.py"],
    "cloudformation/response": ["unit/cloudformation/test_provider.py"],
}
KILLED_AT_LEAST = 0.95
WORKERS = 2


@dataclass(frozen=True)
class Change:
    """What a mutant is known by, wherever it stands in its module."""

    module: str
    place: str
    """The function, class or constant that the change is in."""
    before: str
    """The lines that changed, without white space at their ends."""
    after: str

    def __str__(self) -> str:
        return f"{self.module}.{self.place}\n  - {self.before}\n  + {self.after}"


def mutants(module: str) -> Iterator[tuple[Change, str]]:
    """Every mutant of a module, and its whole code."""
    path = f"{PACKAGE}/{module}.py"
    source = (ROOT / path).read_text()
    places = ast.parse(source).body
    tree, mutations, _, _ = create_mutations(path, source)
    for mutation in mutations:
        code = deep_replace(tree, mutation.original_node, mutation.mutated_node).code  # type: ignore[union-attr]
        old, new = source.splitlines(), code.splitlines()
        first = next(at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
        while old[-1] == new[-1] and min(len(old), len(new)) > first:
            del old[-1], new[-1]
        place = _place(places, first + 1)
        yield Change(module, place, *(" ".join(line.strip() for line in lines[first:]) for lines in (old, new))), code


def _place(statements: list[ast.stmt], line: int) -> str:
    """The dotted name of what is defined at a line."""
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
    """What becomes of a module's tests with this code in its place: ``passed``, ``failed`` or ``timed out``."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        (copy / PACKAGE / f"{module}.py").write_text(code)
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
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode = True
    options = ["-x", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
    status = pytest.main([*options, f"--basetemp={copy}/.tests", *(f"tests/{name}" for name in tests)])
    # At once: no thread that a test left behind is waited for.
    os._exit(status)


def outcomes(module: str) -> Iterator[tuple[Change, str]]:
    """Each mutant of a module and what became of its tests."""
    source = (ROOT / PACKAGE / f"{module}.py").read_text()
    started = time.monotonic()
    if run(module, source, 600) != "passed":
        sys.exit(f"The tests of {module} fail without any change.")
    seconds = 10 + 3 * (time.monotonic() - started)
    if run(module, f"{source}\nraise RuntimeError", seconds) != "failed":
        sys.exit(f"The tests of {module} do not run what is changed.")
    changes, codes = zip(*mutants(module), strict=True)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as pool:
        yield from zip(changes, pool.map(run, repeat(module), codes, repeat(seconds)), strict=True)


def main(modules: list[str]) -> int:
    """Prints the figures. 1 where too many survive, or others than those that are listed with a reason."""
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    listed = Counter(Change(entry["module"], *one) for entry in entries if entry["why"] for one in entry["changes"])
    complaints = [f"listed, but of no module here: {change}" for change in listed if change.module not in TESTS]
    print("module           mutants  killed  (by time-out)  survived  listed as equivalent", flush=True)
    for module in modules:
        results = list(outcomes(module))
        survivors = Counter(change for change, result in results if result == "passed")
        timed_out = sum(result == "timed out" for _, result in results)
        expected = Counter({change: times for change, times in listed.items() if change.module == module})
        killed = len(results) - survivors.total()
        share = killed / len(results)
        figures = f"{len(results):7}  {killed:6}  {timed_out:13}  {survivors.total():8}  {expected.total():20}"
        print(f"{module:15}  {figures}  {share:.1%} killed", flush=True)
        if share < KILLED_AT_LEAST:
            complaints.append(f"{module}: less than {KILLED_AT_LEAST:.0%} are killed")
        complaints += [f"survived, and is not listed: {change}" for change in (survivors - expected).elements()]
        complaints += [f"listed, but does not survive: {change}" for change in (expected - survivors).elements()]
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TESTS)))
