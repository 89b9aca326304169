"""A contract for import-linter: pure modules import only each other and the modules of a list.

https://import-linter.readthedocs.io/en/stable/custom_contract_types.html
"""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_BUILT_IN = {"__import__", "compile", "eval", "exec", "input", "open", "print"}
_CLOCK = {"now", "today", "utcnow"}
"""Methods of `datetime`, which is allowed."""


class PureContract(Contract):
    """Modules that make no call and read no clock, file or environment.

    A list of forbidden modules lets each module pass that nobody has thought of, so this one names what is allowed.

    Options:
        pure_modules: the pure modules and packages.
        allowed_modules: modules of the standard library that they may import, besides each other.
    """

    pure_modules = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  # import-linter's signature
        """Check all imports of the pure modules, also those inside of functions."""
        pure = {each for name in self.pure_modules for each in (name, *graph.find_descendants(name))}  # type: ignore[attr-defined]
        allowed = {*pure, *self.allowed_modules, "rotation_role_policy"}  # type: ignore[misc]
        found = sorted(
            (module, imported)
            for module in pure
            for imported in graph.find_modules_directly_imported_by(module)
            if imported not in allowed
        )
        found += [(module, name) for module in sorted(pure) for name in impure_names(_source(module))]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that are not allowed."""
        for module, imported in check.metadata["found"]:
            output.print_error(f"{module} is pure and must not use {imported}.")


def impure_names(source: str) -> Iterator[str]:
    """Yield the names in a module that need no import, and by which it would not be pure."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) if name in _BUILT_IN:
                yield name
            case ast.Attribute(attr=name) if name in _CLOCK:
                yield name


def _source(module: str) -> str:
    spec = find_spec(module)
    return Path(spec.origin).read_text() if spec and spec.origin else ""
