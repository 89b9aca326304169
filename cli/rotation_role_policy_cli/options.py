"""The options of `preview` that set a property, made from the table of properties, and help in sections."""

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from rotation_role_policy import arn
from rotation_role_policy.rules.properties import PROPERTIES, Property
from rotation_role_policy_cli.schema import plain_text

PROPERTIES_SECTION = "Properties of one resource"
TEMPLATE_SECTION = "Resources of a template"

SHORT_NAMES = {"RotationLambdaARN": "--rotation-lambda", "RoleName": "--role", "VpcConfig.SubnetIds": "--vpc"}
"""A second spelling of an option, keyed by the path of its property."""


class SectionOption(click.Option):
    """An option that `--help` lists below the heading `section`."""

    def __init__(self, *args: Any, section: str, **attributes: Any) -> None:
        self.section = section
        super().__init__(*args, **attributes)


class SectionCommand(click.Command):
    """A command whose help lists its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections. The options of a section stand together."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for section, members in groupby(options, lambda option: getattr(option, "section", "Options")):
            with formatter.section(section):
                formatter.write_dl([record for option in members if (record := option.get_help_record(ctx))])


class CommaSeparated(click.ParamType):  # type: ignore[type-arg]  # older versions of click are not generic
    """A list of strings: values with commas between them, or ``none`` for an empty list."""

    name = "list"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:  # noqa: ARG002
        """Return the list."""
        return [] if value == "none" else value.split(",")


class NameAndValue(click.ParamType):  # type: ignore[type-arg]
    """A pair such as ``Stage=prod``."""

    name = "name=value"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the name and the value."""
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f"{value!r} is not a name with a value, such as Stage=prod.", param, ctx)
        return name, text


class FailOn(click.ParamType):  # type: ignore[type-arg]
    """Severities and codes of findings, with commas between them."""

    name = "list"

    def convert(self, value: str | list[str], param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the list."""
        from rotation_role_policy.audit.finding_types import FindingType, Severity

        known = [each.value for each in Severity] + [each.code for each in FindingType]
        values = value if isinstance(value, list) else [each.strip() for each in value.split(",")]
        for each in values:
            if each not in known:
                similar = difflib.get_close_matches(each, known, 1)
                hint = f" Do you mean {similar[0]}?" if similar else " docs/audit.md lists the codes."
                self.fail(f"{each!r} is neither error, warning or note nor the code of a finding.{hint}", param, ctx)
        return values


class RoleArn(click.ParamType):  # type: ignore[type-arg]
    """The ARN of a role."""

    name = "arn"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the ARN."""
        if not value.startswith("arn:") or not arn.ROLE.fullmatch(value):
            self.fail(f"{value!r} is not the ARN of a role, such as arn:aws:iam::123456789012:role/audit.", param, ctx)
        return value


class PropertyOption(SectionOption):
    """The option for a property, or for a member of a property that is an Object.

    `plural` is the property for several values, such as SecretIds for SecretId: the option can then be repeated.
    """

    def __init__(self, row: Property, parent: Property | None = None, plural: Property | None = None) -> None:
        self.row, self.parent, self.plural = row, parent, plural
        paths = [f"{parent.name}.{row.name}" if parent else row.name, *([plural.name] if plural else [])]
        short_names = [SHORT_NAMES[path] for path in paths if path in SHORT_NAMES]
        super().__init__(
            [*short_names, *(option_name(path) for path in paths)],
            section=PROPERTIES_SECTION,
            type=_click_type(row),
            multiple=plural is not None,
            help=_help(paths, [parent, row] if parent else [row]),
        )

    def add_to(self, properties: dict[str, Any], value: Any) -> None:
        """Set the property to the value of the option, unless the option was not given."""
        if value is None or value == ():
            return
        if self.parent:
            properties.setdefault(self.parent.name, {})[self.row.name] = value
        elif self.plural:
            name, value = (self.row.name, value[0]) if len(value) == 1 else (self.plural.name, list(value))
            properties[name] = value
        else:
            properties[self.row.name] = value


def is_option(row: Property) -> bool:
    """Return whether a property has an option: it affects the policy, and is not CloudFormation's own."""
    return row.affects_policy and row.type != "CloudFormation"


def property_options(table: tuple[Property, ...] = PROPERTIES) -> Iterator[PropertyOption]:
    """Yield the options for a table of properties, in its order."""
    rows = {row.name: row for row in table if is_option(row)}
    for row in rows.values():
        if row.type == "Object":
            yield from (PropertyOption(member, parent=row) for member in row.members if is_option(member))
        elif not (row.type == "List of String" and row.name.removesuffix("s") in rows):
            yield PropertyOption(row, plural=rows.get(f"{row.name}s"))


def properties_from(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that the options set. `values` are the values of all options, keyed by parameter name."""
    properties: dict[str, Any] = {}
    for option in property_options():
        option.add_to(properties, values[str(option.name)])
    return properties


def check_combination(context: click.Context) -> None:
    """Raise `click.UsageError` unless the options describe one resource or name a template, but not both."""
    given: dict[str, list[str]] = {PROPERTIES_SECTION: [], TEMPLATE_SECTION: []}
    for parameter in context.command.params:
        value = context.params[str(parameter.name)]
        if value in (None, ()):
            continue
        if isinstance(parameter, SectionOption):
            given[parameter.section].append(parameter.opts[0])
        elif isinstance(parameter, click.Argument):
            # A further value of --parameter.
            given[TEMPLATE_SECTION].append("=".join(value[0]))
    of_resource, of_template = given.values()
    if of_template and of_resource:
        raise click.UsageError(f"{of_resource[0]} cannot be combined with {of_template[0]}.", context)
    if of_template and "--template" not in of_template:
        raise click.UsageError(f"{of_template[0]} needs --template.", context)
    if not of_template and "--secret-id" not in of_resource:
        raise click.UsageError("Give --secret-id or --template.", context)


def check_accounts(context: click.Context) -> None:
    """Raise `click.UsageError` unless the options of `audit` for regions and accounts go together."""
    given = context.params
    if given["all_regions"] and given["regions"]:
        raise click.UsageError("--all-regions cannot be combined with --region.", context)
    if given["organization"] != bool(given["role_name"]):
        raise click.UsageError("--organization and --role-name need each other.", context)
    if given["role_name"] and not re.fullmatch(r"[\w+=,.@/-]{1,512}", given["role_name"]):
        raise click.UsageError(f"--role-name {given['role_name']!r} is not the name of a role.", context)
    if given["organization"] and given["role_arns"]:
        raise click.UsageError("--organization cannot be combined with --role-arn.", context)
    accounts = [arn.account(each) for each in given["role_arns"]]
    if repeated := [each for each in accounts if accounts.count(each) > 1]:
        raise click.UsageError(f"--role-arn: two roles are of the account {repeated[0]}.", context)


def given_options(context: click.Context) -> dict[str, Any]:
    """Return the options that were given, by their names, as data for JSON."""
    defaults = (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP)
    return {
        parameter.opts[0]: _as_json(context.params[str(parameter.name)])
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) not in defaults and str(parameter.name) in context.params
    }


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return value if isinstance(value, bool) else str(value)


def option_name(path: str) -> str:
    """Return the option for a property: ``--role-name`` for ``RoleName``, ``--vpc-config-subnet-ids`` for a member."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", path.replace(".", "-"))
    return f"--{words.lower()}"


def _click_type(row: Property) -> "click.ParamType[Any]":
    if row.allowed_values:
        return click.Choice(row.allowed_values)
    types: dict[str, click.ParamType[Any]] = {
        "Boolean": click.BOOL,
        "Integer": click.IntRange(row.minimum, row.maximum),
        "List of String": CommaSeparated(),
        "String": click.STRING,
    }
    return types[row.type]


def _help(paths: list[str], rows: list[Property]) -> str:
    """Return the help text: the property, its meaning, its default, and how to give a list."""
    row = rows[-1]
    default = row.default if row.default is not None else rows[0].default_description
    sentences = [
        *(row.description for row in rows),
        *([f"default: {default}"] if default else []),
        *(["separate values with commas"] if row.type == "List of String" else []),
        *(["none is the empty list"] if row.type == "List of String" and not row.minimum else []),
        *(["repeat the option for several"] if len(paths) > 1 else []),
    ]
    text = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
    return f"{', '.join(paths)}: {plain_text(text)}"
