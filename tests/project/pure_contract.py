"""A contract for import-linter: pure modules import only each other and the modules of a list.

https://import-linter.readthedocs.io/en/stable/custom_contract_types.html
"""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


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
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that are not allowed."""
        for module, imported in check.metadata["found"]:
            output.print_error(f"{module} is pure and must not import {imported}.")
