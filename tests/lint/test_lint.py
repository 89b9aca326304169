"""The rules for cfn-lint: each mistake is found where it stands, what is right is let be, and what is not known too."""

import copy
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.core import get_rules
from cfnlint.rules import RulesCollection
from cfnlint.template import Template
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rotation_role_policy.errors import RequestError
from rotation_role_policy.properties import EXACTLY_ONE_OF, PROPERTIES, parse_properties
from rotation_role_policy_cli import lint as rules_module
from rotation_role_policy_cli.lint import RULES, rows
from tests import ROOT
from tests.model.test_bad_input import JSON
from tests.unit.cli.test_schema import well_formed

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
BY_PATH = ROOT / "cli" / "rotation_role_policy_cli" / "lint"
MANY = settings(max_examples=4 * settings().max_examples)


@pytest.fixture(scope="module")
def ours() -> RulesCollection:
    """Our rules without cfn-lint's own."""
    rules = RulesCollection()
    rules.create_from_module(rules_module.__name__)
    return rules


def found(ours: RulesCollection, text: str) -> list[tuple[str, str, str]]:
    """The findings: id, the line of the template, message."""
    lines = text.splitlines()
    return [(one.rule.id, lines[one.linenumber - 1].strip(), one.message) for one in lint(text, ours, ["eu-central-1"])]


# --- the properties --------------------------------------------------------------------------------------------------

HEAD = """\
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Stage: { Type: String, AllowedValues: [test, prod] }
  Names: { Type: CommaDelimitedList }
  Text: { Type: String }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsTest: !Equals [!Ref Stage, test]
  IsOther: !Equals [!Ref Text, other]
"""


def policy(properties: str) -> str:
    """A template with one policy of these properties."""
    return (
        HEAD
        + """\
Resources:
  Secret: { Type: AWS::SecretsManager::Secret }
  Other: { Type: AWS::SecretsManager::Secret }
  Policy:
    Type: Custom::RotationRolePolicy
    Properties:
      ServiceToken: !ImportValue rotation-role-policy-ServiceToken
"""
        + textwrap.indent(textwrap.dedent(properties).strip("\n"), "      ")
        + "\n"
    )


WRONG_PROPERTIES = [
    # Wrong; right; the rule, the line, and words of the message.
    ("SecretID: db", "SecretId: db", "E9811", "SecretID: db", "SecretID is not a property. Did you mean SecretId?"),
    (
        "SecretId: db\nrotationlambdaarn: !Ref Text",
        "SecretId: db\nRotationLambdaARN: !Ref Text",
        "E9811",
        "rotationlambdaarn: !Ref Text",
        "Did you mean RotationLambdaARN?",
    ),
    (
        "SecretId: db\nRoleName: r\nVpcConfig:\n  SubnetIDs: !Ref Names",
        "SecretId: db\nRoleName: r\nVpcConfig:\n  SubnetIds: !Ref Names",
        "E9811",
        "SubnetIDs: !Ref Names",
        "VpcConfig.SubnetIDs is not a property. Did you mean VpcConfig.SubnetIds?",
    ),
    (
        "SecretId: db\nRoleName: r\nVpcConfig: !If\n  - IsProd\n  - Subnets: []\n  - !Ref AWS::NoValue",
        "SecretId: db\nRoleName: r\nVpcConfig: !If\n  - IsProd\n  - SubnetIds: []\n  - !Ref AWS::NoValue",
        "E9811",
        "- Subnets: []",
        "VpcConfig.Subnets is not a property.",
    ),
    (
        "SecretId: prod/*",
        "SecretId: prod/db",
        "E9812",
        "SecretId: prod/*",
        'SecretId "prod/*" is not in the right form.',
    ),
    ("SecretId: [db]", "SecretId: db", "E9812", "SecretId: [db]", 'SecretId ["db"] is not a string.'),
    ("SecretId: [!Ref Text]", "SecretId: !Ref Text", "E9812", "SecretId: [!Ref Text]", "is not a string."),
    ('SecretId: ""', "SecretId: db", "E9812", 'SecretId: ""', "SecretId is empty."),
    ("SecretIds: []", "SecretIds: [db]", "E9812", "SecretIds: []", "SecretIds is an empty list."),
    ("SecretIds: db", "SecretIds: [db]", "E9812", "SecretIds: db", 'SecretIds "db" is not a list.'),
    (
        "SecretIds:\n  - !Ref Secret\n  - a*\n  - !Ref Other",
        "SecretIds:\n  - !Ref Secret\n  - a\n  - !Ref Other",
        "E9812",
        "- a*",
        'SecretIds[1] "a*" is not in the right form.',
    ),
    (
        "SecretIds: !If\n  - IsProd\n  - - !Ref Secret\n    - !If [IsOther, a?, b]\n  - !Ref Names",
        "SecretIds: !If\n  - IsProd\n  - - !Ref Secret\n    - !If [IsOther, a, b]\n  - !Ref Names",
        "E9812",
        "- !If [IsOther, a?, b]",
        'SecretIds[1] "a?" is not in the right form.',
    ),
    (
        "SecretId: db\nRoleName: service-role/r",
        "SecretId: db\nRoleName: r",
        "E9812",
        "RoleName: service-role/r",
        "Give a role's name (without its path) or its ARN.",
    ),
    (
        "SecretId: db\nPolicyProfile: strict",
        "SecretId: db\nPolicyProfile: Strict",
        "E9812",
        "PolicyProfile: strict",
        "is none of Strict, Documented.",
    ),
    (
        "SecretId: db\nAccessCheck: Off",
        'SecretId: db\nAccessCheck: "Off"',
        "E9812",
        "AccessCheck: Off",
        "Without quotation marks, YAML takes On, Off, Yes and No for true and false.",
    ),
    (
        "SecretId: db\nPropagationDelay: 61",
        "SecretId: db\nPropagationDelay: 60",
        "E9812",
        "PropagationDelay: 61",
        'PropagationDelay "61" is not a whole number from 0 to 60.',
    ),
    (
        "SecretId: db\nPropagationDelay: true",
        "SecretId: db\nPropagationDelay: 10.0",
        "E9812",
        "PropagationDelay: true",
        "is not a whole number",
    ),
    (
        "SecretId: db\nRoleName: r\nVpcConfig: { SubnetIds: subnet-1 }",
        "SecretId: db\nRoleName: r\nVpcConfig: { SubnetIds: [subnet-1] }",
        "E9812",
        "VpcConfig: { SubnetIds: subnet-1 }",
        'VpcConfig.SubnetIds "subnet-1" is not a list.',
    ),
    (
        "SecretId: db\nRoleName: r\nVpcConfig: { Ipv6AllowedForDualStack: maybe }",
        "SecretId: db\nRoleName: r\nVpcConfig: { Ipv6AllowedForDualStack: true }",
        "E9812",
        "VpcConfig: { Ipv6AllowedForDualStack: maybe }",
        "is neither true nor false.",
    ),
    ("SecretId: db\nTriggers: x", "SecretId: db\nTriggers: { x: [y] }", "E9812", "Triggers: x", "is not an object."),
    (
        "SecretId: db\nSecretIds: [db]",
        "SecretIds: [db]",
        "E9813",
        "SecretId: db",
        "Exactly one of SecretId and SecretIds is needed, and both are given.",
    ),
    ("RoleName: r", "RoleName: r\nSecretId: db", "E9813", "Properties:", "and neither is given."),
    (
        "SecretId: db\nRoleName: r\nVpcConfig: {}\nRotationLambdaARN: f",
        "SecretId: db\nRoleName: r\nVpcConfig: {}",
        "E9813",
        "VpcConfig: {}",
        "VpcConfig together with RotationLambdaARN",
    ),
    (
        "SecretId: db\nVpcConfig: {}",
        "SecretId: db\nRoleName: !Ref Text\nVpcConfig: {}",
        "E9813",
        "VpcConfig: {}",
        "VpcConfig without RoleName",
    ),
    (
        "SecretId: !If [IsProd, db, !Ref AWS::NoValue]\nSecretIds: !Ref Names",
        "SecretId: !If [IsProd, db, !Ref AWS::NoValue]\nSecretIds: !If [IsTest, !Ref Names, !Ref AWS::NoValue]",
        "E9813",
        "SecretId: !If [IsProd, db, !Ref AWS::NoValue]",
        "and both are given. This is so where IsProd is true.",
    ),
    (
        "SecretId: !If [IsProd, !If [IsTest, db, !Ref AWS::NoValue], db]",
        "SecretId: !If [IsProd, !If [IsTest, !Ref AWS::NoValue, db], db]",
        "E9813",
        "Properties:",
        "and neither is given. This is so where IsProd is true.",
    ),
]


@pytest.mark.parametrize(("wrong", "right", "rule", "line", "words"), WRONG_PROPERTIES)
def test_a_mistake_in_the_properties_is_found_and_its_correction_is_not(
    ours: RulesCollection, wrong: str, right: str, rule: str, line: str, words: str
) -> None:
    assert found(ours, policy(right)) == []
    findings = [one for one in found(ours, policy(wrong)) if rule == "E9813" or one[0] != "E9813"]
    [(found_rule, found_line, message)] = findings
    assert (found_rule, found_line) == (rule, line)
    assert words in message


def test_a_policy_without_properties_is_told_what_it_needs(ours: RulesCollection) -> None:
    text = HEAD + "Resources:\n  Policy: { Type: Custom::RotationRolePolicy }\n"
    [(rule, _, message)] = found(ours, text)
    assert (rule, message) == ("E9813", "Exactly one of SecretId and SecretIds is needed, and neither is given.")


def test_a_resource_that_is_there_in_one_case_only_is_judged_for_that_case(ours: RulesCollection) -> None:
    text = policy("SecretId: !If [IsProd, db, !Ref AWS::NoValue]")
    assert [one[0] for one in found(ours, text)] == ["E9813"]
    assert (
        found(ours, text.replace("Custom::RotationRolePolicy", "Custom::RotationRolePolicy\n    Condition: IsProd"))
        == []
    )


NEVER = "  Never: !Equals [a, b]\n  IsNotProd: !Not [!Condition IsProd]\n"


@pytest.mark.parametrize(
    ("unreached", "reached"),
    [
        ("PropagationDelay: !If [Never, 61, 60]", "PropagationDelay: !If [Never, 60, 61]"),
        ("PropagationDelay: !If [Nowhere, 61, 60]", "PropagationDelay: !If [IsOther, 61, 60]"),
        (
            "AccessCheck: !If [IsProd, !If [IsProd, 'Off', x], 'Off']",
            "AccessCheck: !If [IsOther, !If [IsProd, 'Off', x], 'Off']",
        ),
        ("PropagationDelay: !If [IsProd, 1, !If [IsProd, 61, 1]]", "PropagationDelay: !If [IsProd, 1, 61]"),
        ("PropagationDelay: !If [IsProd, !If [IsNotProd, 61, 1], 1]", "PropagationDelay: !If [IsNotProd, 61, 1]"),
        ("PropagationDelay: !If [IsProd, !If [IsTest, 61, 1], 1]", "PropagationDelay: !If [IsTest, 61, 1]"),
        ("Triggers: !If [Never, text, {}]", "Triggers: !If [IsTest, text, {}]"),
        ("SecretID: !If [Never, db, !Ref AWS::NoValue]", "SecretID: !If [IsProd, db, !Ref AWS::NoValue]"),
        ("SecretID: !Ref AWS::NoValue", "SecretID: !Ref Text"),
        (
            "RoleName: r\nVpcConfig: !If [Never, { Subnets: [] }, {}]",
            "RoleName: r\nVpcConfig: !If [IsProd, { Subnets: [] }, {}]",
        ),
        ("SecretIds: !If [Never, [db], !Ref AWS::NoValue]", "SecretIds: !If [IsProd, [db], !Ref AWS::NoValue]"),
    ],
)
def test_a_branch_that_no_case_picks_is_not_judged(ours: RulesCollection, unreached: str, reached: str) -> None:
    base = policy("SecretId: db").replace("Conditions:\n", f"Conditions:\n{NEVER}")
    of_never = base.replace("RotationRolePolicy\n", "RotationRolePolicy\n    Condition: Never\n")

    def judged(text: str, properties: str) -> list[tuple[str, str, str]]:
        return found(ours, text + textwrap.indent(properties, "      ") + "\n")

    assert judged(base, unreached) == []
    assert judged(base, reached) != []
    assert judged(of_never, reached) == []


def test_a_branch_that_the_resources_condition_excludes_is_not_judged(ours: RulesCollection) -> None:
    text = policy("SecretId: db\nPropagationDelay: !If [IsProd, 61, 60]")
    assert [one[0] for one in found(ours, text)] == ["E9812"]
    for condition, expected in (("IsTest", []), ("IsProd", ["E9812"]), ("IsOther", ["E9812"])):
        there = text.replace("RotationRolePolicy\n", f"RotationRolePolicy\n    Condition: {condition}\n")
        assert [one[0] for one in found(ours, there)] == expected


def test_an_attribute_that_no_case_asks_for_is_not_judged(ours: RulesCollection) -> None:
    text = policy("SecretId: db").replace("Conditions:\n", f"Conditions:\n{NEVER}")
    output = "Outputs:\n  Output:\n    Value: !If [Never, !GetAtt Policy.X, x]\n"
    assert found(ours, text + output) == []
    assert [one[0] for one in found(ours, text + output.replace("Never", "IsProd"))] == ["E9814"]
    of_test = output.replace("Never", "IsProd").replace("    Value", "    Condition: IsTest\n    Value")
    assert found(ours, text + of_test) == []


@pytest.mark.parametrize(("count", "expected"), [(7, ["E9813"]), (8, [])])
def test_more_cases_than_can_be_looked_through_are_let_be(
    ours: RulesCollection, count: int, expected: list[str]
) -> None:
    names = [f"Is{number}" for number in range(count)]
    conditions = "".join(f'  {name}: !Equals [!Select ["{name[2]}", !Ref Names], x]\n' for name in names)
    nested = "db"
    for name in names[1:]:
        nested = f"!If [{name}, {nested}, db]"
    nested = f"!If [Is0, !Ref AWS::NoValue, {nested}]"
    text = policy(f"SecretId: {nested}").replace("Conditions:\n", f"Conditions:\n{conditions}")
    assert [one[0] for one in found(ours, text)] == expected


EITHER = "SecretId: !If [IsOne, db, !Ref AWS::NoValue]\nSecretIds: !If [IsTwo, [db], !Ref AWS::NoValue]"


def with_conditions(text: str, one: str, two: str, allowed: str) -> str:
    """The template with these conditions of two parameters, where nothing allowed stands for any value."""
    values = f", AllowedValues: {allowed}" if allowed else ""
    parameters = "".join(f"  {name}: {{ Type: String{values} }}\n" for name in ("Kind", "More"))
    conditions = f"  IsOne: !Equals {one}\n  IsTwo: !Equals {two}\n"
    return text.replace("Conditions:\n", f"{parameters}Conditions:\n{conditions}")


@pytest.mark.parametrize(
    ("one", "two", "allowed"),
    [
        # Of one parameter: who deploys gives one of the two values.
        ("[!Ref Kind, one]", "[!Ref Kind, two]", ""),
        ("[!Ref Kind, one]", "[!Ref Kind, two]", "[one, two]"),
        # As YAML's truth values and as text, which CloudFormation takes for the same.
        ("[!Ref Kind, 'true']", "[!Ref Kind, 'false']", "[true, false]"),
        # Of two: who deploys gives one of the two, although the template does not say so.
        ("[!Ref Kind, one]", "[!Ref More, two]", ""),
        ("[!Ref Kind, 'yes']", "[!Ref More, 'yes']", "['yes', 'no']"),
        ("[!Ref Kind, !Ref More]", "[!Ref Kind, one]", ""),
        ("[!Ref Kind, !Ref Text]", "[!Ref Kind, one]", "[one, two]"),
        ("[!FindInMap [Kinds, !Ref Kind, x], one]", "[!Ref Kind, two]", "[one, two, three]"),
    ],
)
def test_an_author_who_gives_either_by_conditions_that_users_hold_apart_is_not_told(
    ours: RulesCollection, one: str, two: str, allowed: str
) -> None:
    assert found(ours, with_conditions(policy(EITHER), one, two, allowed)) == []
    both = EITHER.replace("!Ref AWS::NoValue]\nSecretIds: !If [IsTwo, [db], !Ref AWS::NoValue]", "db]\nSecretIds: [db]")
    [(rule, _, message)] = found(ours, with_conditions(policy(both), one, two, allowed))
    assert (rule, message.partition(", and ")[2]) == ("E9813", "both are given.")


@pytest.mark.parametrize("one", ["[!Ref Kind, one]", "[one, !Ref Kind]"])
def test_an_author_who_lists_a_parameters_values_is_told_of_the_value_that_leaves_the_secret_out(
    ours: RulesCollection, one: str
) -> None:
    [(rule, _, message)] = found(ours, with_conditions(policy(EITHER), one, "[!Ref Kind, two]", "[one, two, three]"))
    assert rule == "E9813"
    assert message.endswith("and neither is given. This is so where IsOne is false and IsTwo is false.")


def test_a_condition_of_two_parameters_is_not_taken_to_exclude_one_of_either(ours: RulesCollection) -> None:
    nested = "SecretId: !If [IsOne, !If [IsTwo, db, !Ref AWS::NoValue], db]"
    text = with_conditions(policy(nested), "[!Ref Kind, !Ref More]", "[!Ref Kind, two]", "")
    assert found(ours, text) == []
    assert [one[0] for one in found(ours, text.replace("[!Ref Kind, !Ref More]", "[!Ref Kind, one]"))] == ["E9813"]


def test_all_that_does_not_go_together_is_told_at_once(ours: RulesCollection) -> None:
    wrong = "SecretId: db\nSecretIds: [db]\nVpcConfig: {}\nRotationLambdaARN: f"
    reasons = ["both are given", "VpcConfig together with RotationLambdaARN", "VpcConfig without RoleName"]
    for one in (wrong, wrong.replace("{}", "!If [IsProd, {}, !Ref AWS::NoValue]")):
        messages = [message for _, _, message in found(ours, policy(one))]
        assert len(messages) == 3
        assert all(any(reason in message for message in messages) for reason in reasons)
    assert len(found(ours, policy(f"{wrong}\nRoleName: r"))) == 2
    assert found(ours, policy("SecretIds: [db]\nVpcConfig: {}\nRoleName: r")) == []


# --- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("!GetAtt Policy.RoleARN", "!GetAtt Policy.RoleArn", "Policy.RoleARN is not an attribute"),
        ("!GetAtt [Policy, Arn]", "!GetAtt [Policy, RoleArn]", "Policy.Arn is not an attribute"),
        ("{ Fn::GetAtt: Policy.InVPC }", "{ Fn::GetAtt: Policy.InVpc }", "Did you mean Policy.InVpc?"),
        ("!GetAtt Policy.Outputs.Name", "!GetAtt Policy.PolicyName", "Policy.Outputs.Name is not"),
        ('!Sub "a ${Policy.Name}"', '!Sub "a ${Policy.PolicyName}"', "Policy.Name is not an attribute"),
        ('!Sub ["${x}${Policy.Y}", { x: y }]', '!Sub ["${Policy.Y}", { Policy.Y: z }]', "Policy.Y is not an attribute"),
        ('!Join ["", [!GetAtt Policy.Y]]', '!Sub "${!Policy.Y} ${Secret.Id}"', "Policy.Y is not an attribute"),
    ],
)
def test_an_unknown_attribute_is_found_wherever_it_is_asked_for(
    ours: RulesCollection, wrong: str, right: str, message: str
) -> None:
    base = policy("SecretId: db")
    resource = "  Parameter: { Type: AWS::SSM::Parameter, Properties: { Type: String, Value: VALUE } }\n"
    output = "Outputs:\n  Output:\n    Value: VALUE\n"
    for text in (base + resource, base + output):
        [(rule, line, words)] = found(ours, text.replace("VALUE", wrong))
        assert rule == "E9814"
        assert wrong in line
        assert message in words
        assert found(ours, text.replace("VALUE", right)) == []


# --- the order -------------------------------------------------------------------------------------------------------

SCHEDULE = """\
  Schedule:
    Type: AWS::SecretsManager::RotationSchedule
    Properties:
      SecretId: !Ref Secret
      RotationLambdaARN: !Ref Text
"""
ALIAS = "  Attachment: { Type: AWS::SecretsManager::SecretTargetAttachment, Properties: { SecretId: !Ref Secret } }\n"
WAITS = "    DependsOn: Policy\n    Properties:\n      SecretId"


@pytest.mark.parametrize(
    ("secret", "scheduled"),
    [
        ("SecretId: !Ref Secret", "!Ref Secret"),
        ("SecretId: !Ref Secret", "!GetAtt Secret.Id"),
        ("SecretId: !Ref Secret", '!Sub "${Secret}"'),
        ("SecretId: !Ref Secret", "!Ref Attachment"),
        ("SecretIds: [!Ref Other, !Ref Secret]", "!Ref Secret"),
        ("SecretIds: [!If [IsProd, !Ref Other, !Ref Secret]]", "!If [IsTest, !Ref Secret, !Ref Other]"),
        ("SecretId: prod/db", "prod/db"),
        ("SecretId: !Ref Text", "!Ref Text"),
        ('SecretId: !Sub "${Stage}/db"', '!Sub "${Stage}/db"'),
        ("SecretId: !ImportValue secret", "!ImportValue secret"),
    ],
)
def test_a_schedule_waits_for_the_policy_of_its_secret(ours: RulesCollection, secret: str, scheduled: str) -> None:
    text = policy(secret) + ALIAS + SCHEDULE.replace("!Ref Secret", scheduled)
    [(rule, line, message)] = found(ours, text)
    assert (rule, line) == ("E9815", "Schedule:")
    assert "Give Schedule DependsOn: Policy." in message
    assert found(ours, text.replace("    Properties:\n      SecretId: " + scheduled, f"{WAITS}: {scheduled}")) == []


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ('!Sub "${Secret}-other"', '!Sub "${Secret}"'),
        ('!Sub "${Secret.Id}/other"', '!Sub "${ Secret.Id }"'),
        ('!Sub "other/${Secret}"', '!Sub ["${a}", { a: !Ref Secret }]'),
        ('!Sub ["${a}-other", { a: !Ref Secret }]', '!Sub ["${a}", { a: !GetAtt Secret.Id }]'),
        ('!Sub ["${Secret}", { Secret: other }]', '!Sub ["${Secret}", { other: other }]'),
        ('!Sub "${Secret}${Text}"', '!Sub "${Attachment}"'),
        ('!Join ["-", [!Ref Secret, other]]', '!Join ["-", [!Ref Secret]]'),
        ('!Join ["", [!Ref Secret, !If [IsProd, a, b]]]', '!Join ["", [!Ref Secret, ""]]'),
    ],
)
def test_a_secret_whose_name_begins_with_anothers_is_another(ours: RulesCollection, others: str, same: str) -> None:
    text = policy("SecretId: !Ref Secret") + ALIAS + SCHEDULE.replace("!Ref Secret", "SCHEDULED")
    assert found(ours, text.replace("SCHEDULED", others)) == []
    assert [one[0] for one in found(ours, text.replace("SCHEDULED", same))] == ["E9815"]


def test_a_dependency_left_over_from_a_loop_may_be_on_anything(ours: RulesCollection) -> None:
    text = policy("SecretId: !Ref Secret") + SCHEDULE
    for left in ('"Policy${X}"', '["Secret", "Policy&{X}"]'):
        assert found(ours, text.replace("Schedule\n    P", f"Schedule\n    DependsOn: {left}\n    P")) == []
    near = text.replace("Schedule\n    P", 'Schedule\n    DependsOn: "Policy$X"\n    P')
    assert [one[0] for one in found(ours, near)] == ["E9815"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", SCHEDULE.replace("!Ref Text", '!Join ["", [!Ref Text, !Select [1, !Split ["x", !Ref Policy]]]]')),
        ("", SCHEDULE.replace("!Ref Text", "!GetAtt Policy.FunctionArn")),
        ("", SCHEDULE.replace("!Ref Text", '!Sub "${Text}${Policy}"')),
        (
            "  Wait: { Type: AWS::CloudFormation::WaitConditionHandle, DependsOn: Policy }\n",
            SCHEDULE.replace("    Properties:", "    DependsOn: [Secret, Wait]\n    Properties:"),
        ),
        (
            "  Topic: { Type: AWS::SNS::Topic, Properties: { DisplayName: !GetAtt Policy.InVpc } }\n",
            SCHEDULE.replace("!Ref Text", "!Ref Topic"),
        ),
        # Another secret, or one that is not known to be the same.
        ("", SCHEDULE.replace("!Ref Secret", "!Ref Other")),
        ("", SCHEDULE.replace("!Ref Secret", "secret")),
        ("", SCHEDULE.replace("!Ref Secret", '!Sub "${Text}"')),
        ("", SCHEDULE.replace("!Ref Secret", "!Select [0, !Ref Names]")),
        ("", SCHEDULE.replace("!Ref Secret", "!If [IsNowhere, !Ref Secret, !Ref Other]")),
        # The hosted function's role is its own.
        (
            "",
            SCHEDULE.replace("RotationLambdaARN: !Ref Text", "HostedRotationLambda: { RotationType: MySQLSingleUser }"),
        ),
    ],
)
def test_a_schedule_that_waits_some_way_or_is_anothers_is_let_be(
    ours: RulesCollection, before: str, after: str
) -> None:
    assert found(ours, policy("SecretId: !Ref Secret\nSuperuserSecretId: !Ref Other") + before + after) == []


def test_a_policy_that_waits_for_the_schedule_is_told_to_come_before_it(ours: RulesCollection) -> None:
    text = policy("SecretId: !Ref Secret") + SCHEDULE
    text = text.replace("RotationRolePolicy\n", "RotationRolePolicy\n    DependsOn: Schedule\n")
    [(rule, _, message)] = found(ours, text)
    assert rule == "E9815"
    assert "Let Policy not depend on Schedule, and give Schedule DependsOn: Policy." in message


def test_one_of_several_policies_of_a_secret_is_enough_but_has_to_be_there(ours: RulesCollection) -> None:
    second = (
        "  Second:\n    Type: Custom::RotationRolePolicy\n    Properties: { SecretId: !Ref Secret, ServiceToken: x }\n"
    )
    waiting = SCHEDULE.replace("    Properties:", "    DependsOn: Policy\n    Properties:")
    text = policy("SecretId: !Ref Secret") + second + waiting
    assert found(ours, text) == []
    text = text.replace("RotationRolePolicy\n", "RotationRolePolicy\n    Condition: IsProd\n", 1)
    [(rule, _, message)] = found(ours, text)
    assert rule == "E9815"
    assert "depend on Second" in message


def test_a_schedule_and_a_policy_that_are_never_there_together_are_let_be(ours: RulesCollection) -> None:
    def both(of_policy: str, of_schedule: str) -> str:
        text = policy("SecretId: !Ref Secret") + SCHEDULE
        text = text.replace("RotationRolePolicy\n", f"RotationRolePolicy\n    Condition: {of_policy}\n")
        return text.replace("RotationSchedule\n", f"RotationSchedule\n    Condition: {of_schedule}\n")

    assert found(ours, both("IsProd", "IsTest")) == []
    assert [one[0] for one in found(ours, both("IsProd", "IsOther"))] == ["E9815"]


ROTATORS = "".join(
    f"""\
  {name}Role: {{ Type: AWS::IAM::Role, Properties: {{ AssumeRolePolicyDocument: {{}} }} }}
  {name}:
    Type: AWS::Lambda::Function
    Properties: {{ Runtime: python3.13, Handler: a.b, Code: {{ ZipFile: pass }}, Role: !GetAtt {name}Role.Arn }}
  {name}Alias: {{ Type: AWS::Lambda::Alias, Properties: {{ FunctionName: !Ref {name}, Name: a }} }}
"""
    for name in ("One", "Two")
)


@pytest.mark.parametrize(
    ("policys", "others", "same"),
    [
        ("RotationLambdaARN: !Ref One", "!GetAtt Two.Arn", "!GetAtt One.Arn"),
        ("RotationLambdaARN: !GetAtt One.Arn", "!Ref TwoAlias", "!Ref OneAlias"),
        ("RotationLambdaARN: !Ref OneAlias", '!Sub "${Two.Arn}:live"', '!Sub "${One.Arn}:live"'),
        ("RoleName: !Ref OneRole", "!GetAtt Two.Arn", "!GetAtt One.Arn"),
        ("RoleName: !Ref OneRole\nVpcConfig: {}", "!Ref TwoAlias", "!Ref OneAlias"),
        ("RotationLambdaARN: !If [IsProd, !Ref One, !Ref Two]", "!If [IsProd, !Ref Two, !Ref One]", "!Ref One"),
        # What is not known may be the same.
        ("RotationLambdaARN: !Ref One", "!Ref Two", "!Ref Text"),
        ("RotationLambdaARN: !Ref One", "!Ref Two", "!If [IsProd, !Ref One, !Ref Two]"),
    ],
)
def test_a_schedule_of_another_function_than_the_policys_need_not_wait(
    ours: RulesCollection, policys: str, others: str, same: str
) -> None:
    text = policy(f"SecretId: !Ref Secret\n{policys}") + ROTATORS
    assert found(ours, text + SCHEDULE.replace("!Ref Text", others)) == []
    assert [one[0] for one in found(ours, text + SCHEDULE.replace("!Ref Text", same))] == ["E9815"]


# --- functions in a VPC ----------------------------------------------------------------------------------------------

ROLE = """\
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{ Effect: Allow, Principal: { Service: lambda.amazonaws.com }, Action: "sts:AssumeRole" }]
"""
FUNCTION = """\
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Code: { ZipFile: pass }
      Role: !GetAtt Role.Arn
      VpcConfig: { SubnetIds: !Ref Names, SecurityGroupIds: !Ref Names }
"""
DECLARED = "SecretId: db\nRoleName: !Ref Role\nVpcConfig: { SubnetIds: !Ref Names }"
WAITING = FUNCTION.replace("    Properties", "    DependsOn: Policy\n    Properties", 1)


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        ("SecretId: db\nRotationLambdaARN: !Ref Function", "RotationLambdaARN: !Ref Function"),
        ("SecretId: db\nRotationLambdaARN: !GetAtt Function.Arn", "RotationLambdaARN: !GetAtt Function.Arn"),
        (
            'SecretId: db\nRotationLambdaARN: !Sub "${Function.Arn}:live"',
            'RotationLambdaARN: !Sub "${Function.Arn}:live"',
        ),
        ("SecretId: db\nRotationLambdaARN: !Ref Alias", "RotationLambdaARN: !Ref Alias"),
        (
            "SecretId: db\nRotationLambdaARN: !Ref Function\nRoleName: !Ref Role",
            "RotationLambdaARN: !Ref Function",
        ),
        ("SecretId: db\nRoleName: !Ref Role", "RoleName: !Ref Role"),
        ("SecretId: db\nRoleName: !GetAtt Role.Arn", "RoleName: !GetAtt Role.Arn"),
    ],
)
def test_a_function_in_a_vpc_is_not_inspected_but_declared(ours: RulesCollection, properties: str, line: str) -> None:
    alias = "  Alias: { Type: AWS::Lambda::Alias, Properties: { FunctionName: !Ref Function, Name: a } }\n"
    [(rule, found_line, message)] = found(ours, policy(properties) + ROLE + FUNCTION + alias)
    assert (rule, found_line) == ("E9816", line)
    assert "in Policy, give RoleName and VpcConfig without RotationLambdaARN" in message
    assert found(ours, policy(DECLARED) + ROLE + WAITING + alias) == []


def test_a_function_in_a_vpc_waits_for_the_policy_that_declares_it(ours: RulesCollection) -> None:
    [(rule, line, message)] = found(ours, policy(DECLARED) + ROLE + FUNCTION)
    assert (rule, line) == ("E9817", "Function:")
    assert "Give Function DependsOn: Policy." in message
    assert found(ours, policy(DECLARED) + ROLE + WAITING) == []
    through_another = FUNCTION.replace(
        "Handler:", "Environment: { Variables: { X: !GetAtt Topic.TopicName } }\n      Handler:"
    )
    topic = "  Topic: { Type: AWS::SNS::Topic, DependsOn: Policy }\n"
    assert found(ours, policy(DECLARED) + ROLE + topic + through_another) == []


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ("RotationLambdaARN: !Sub '${Function}-other'", "RotationLambdaARN: !Sub '${Function}:live'"),
        (
            "RotationLambdaARN: !Sub 'arn:aws:lambda:${AWS::Region}:1:function:x-${Function}'",
            "RotationLambdaARN: !Sub 'arn:aws:lambda:${AWS::Region}:1:function:${Function}'",
        ),
        (
            "RotationLambdaARN: !Join ['-', [!GetAtt Function.Arn, live]]",
            "RotationLambdaARN: !Join [':', [!GetAtt Function.Arn, live]]",
        ),
        ("RoleName: !Sub '${Role}-other'", "RoleName: !Sub 'arn:aws:iam::1:role/${Role}'"),
    ],
)
def test_a_name_that_has_a_functions_or_roles_in_it_is_anothers(ours: RulesCollection, others: str, same: str) -> None:
    assert found(ours, policy(f"SecretId: db\n{others}") + ROLE + FUNCTION) == []
    assert [one[0] for one in found(ours, policy(f"SecretId: db\n{same}") + ROLE + FUNCTION)] == ["E9816"]


GRANT = '{ Statement: { Effect: Allow, Action: ["logs:*", ACTION], Resource: "*" } }'
AWS_POLICY = "arn:${AWS::Partition}:iam::aws:policy/service-role"
INSPECTED = "SecretId: db\nRotationLambdaARN: !Ref Function"


def attached(kind: str, action: str, role: str) -> str:
    document = GRANT.replace("ACTION", action)
    return f"  More: {{ Type: {kind}, Properties: {{ PolicyName: x, PolicyDocument: {document}, Roles: [{role}] }} }}\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (
            f"      ManagedPolicyArns: ['{AWS_POLICY}/AWSLambdaBasicExecutionRole']\n",
            f"      ManagedPolicyArns: ['{AWS_POLICY}/AWSLambdaVPCAccessExecutionRole']\n",
        ),
        (
            f"      ManagedPolicyArns: [!Sub '{AWS_POLICY}/AWSLambdaBasicExecutionRole']\n",
            f"      ManagedPolicyArns: [!Sub '{AWS_POLICY}/SomethingElse']\n",
        ),
        (
            "      ManagedPolicyArns: [!Join [':', [a, 'iam::aws:policy/AWSXRayDaemonWriteAccess']]]\n",
            "      ManagedPolicyArns: [!Join [':', [a, 'iam::aws:policy/AWSXRayDaemonWriteAccess2']]]\n",
        ),
        (
            "      ManagedPolicyArns: ['arn:aws:iam::aws:policy/CloudWatchLambdaInsightsExecutionRolePolicy']\n",
            "      ManagedPolicyArns: ['arn:aws:iam::123456789012:policy/AWSLambdaBasicExecutionRole']\n",
        ),
        ("      ManagedPolicyArns: []\n", "      ManagedPolicyArns: !Ref Names\n"),
        ("      ManagedPolicyArns: [!Ref AWS::NoValue]\n", "      ManagedPolicyArns: [!Ref Text]\n"),
        ("", "      ManagedPolicyArns: !If [IsProd, [/AWSLambdaVPCAccessExecutionRole], !Ref AWS::NoValue]\n"),
        *(
            (
                f"      Policies: [{{ PolicyName: x, PolicyDocument: {GRANT.replace('ACTION', 'kms:Decrypt')} }}]\n",
                f"      Policies: [{{ PolicyName: x, PolicyDocument: {GRANT.replace('ACTION', action)} }}]\n",
            )
            for action in ("ec2:CreateNetworkInterface", '"EC2:Create*"', '"*"', "!Ref Text")
        ),
        (
            '      Policies: [{ PolicyName: x, PolicyDocument: { Statement: { Effect: Deny, Action: "*" } } }]\n',
            '      Policies: [{ PolicyName: x, PolicyDocument: { Statement: { Effect: Allow, NotAction: "a:*" } } }]\n',
        ),
        ("", "      Policies: !If [IsProd, !Ref Text, !Ref AWS::NoValue]\n"),
        (
            "      Policies: [{ PolicyName: x, PolicyDocument: { Statement: [] } }]\n",
            "      Policies: [{ PolicyName: x, PolicyDocument: { Statement: [!If [IsProd, a, b]] } }]\n",
        ),
        *(
            (attached(kind, "kms:Decrypt", "!Ref Role"), attached(kind, "ec2:*", "!Ref Role"))
            for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        ),
        (
            attached("AWS::IAM::Policy", "ec2:*", "another"),
            attached("AWS::IAM::Policy", "ec2:*", "!Ref Text"),
        ),
    ],
)
def test_a_role_that_may_have_network_interfaces_by_other_means_is_let_be(
    ours: RulesCollection, wrong: str, right: str
) -> None:
    assert [one[0] for one in found(ours, policy(INSPECTED) + ROLE + wrong + FUNCTION)] == ["E9816"]
    assert found(ours, policy(INSPECTED) + ROLE + right + FUNCTION) == []
    assert [one[0] for one in found(ours, policy(DECLARED) + ROLE + wrong + FUNCTION)] == ["E9817"]
    assert found(ours, policy(DECLARED) + ROLE + right + FUNCTION) == []


@pytest.mark.parametrize(
    "function",
    [
        FUNCTION.replace("!Ref Names, Sec", "[], Sec"),
        FUNCTION.replace("{ SubnetIds: !Ref Names, SecurityGroupIds: !Ref Names }", "{}"),
        FUNCTION.replace("{ SubnetIds: !Ref Names, SecurityGroupIds: !Ref Names }", "!Ref AWS::NoValue"),
        FUNCTION.replace("SubnetIds: !Ref Names", "SubnetIds: !Ref AWS::NoValue"),
        FUNCTION.replace("SubnetIds: !Ref Names", "SubnetIds: [!Ref AWS::NoValue]"),
        FUNCTION.replace("!GetAtt Role.Arn", "!Ref Text"),
        FUNCTION.replace("!GetAtt Role.Arn", "!If [IsNowhere, !GetAtt Role.Arn, !Ref Text]"),
        FUNCTION.replace("      Role: !GetAtt Role.Arn\n", "").replace("AWS::Lambda", "AWS::Serverless"),
    ],
)
def test_a_function_that_is_in_no_vpc_or_has_another_role_is_let_be(ours: RulesCollection, function: str) -> None:
    assert found(ours, policy(INSPECTED) + ROLE + function) == []


LISTS = """\
  Subnets: { Type: "List<AWS::EC2::Subnet::Id>" }
  Given: { Type: CommaDelimitedList, Default: "subnet-1,subnet-2" }
  Perhaps: { Type: CommaDelimitedList, Default: "" }
  Offered: { Type: CommaDelimitedList, AllowedValues: ["", subnet-1] }
  Stored: { Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /subnets }
  PerhapsOne: { Type: String, Default: "" }
"""


def with_subnets(subnets: str) -> str:
    """A template with a function that has these subnets, and the policy that inspects it."""
    text = policy(INSPECTED) + ROLE + FUNCTION.replace("SubnetIds: !Ref Names", f"SubnetIds: {subnets}")
    net = "  Subnet: { Type: AWS::EC2::Subnet, Properties: { VpcId: vpc-1, CidrBlock: 10.0.0.0/24 } }\n"
    return text.replace("Conditions:\n", f"{LISTS}Conditions:\n") + net


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        ("!FindInMap [Stages, !Ref Stage, Subnets]", "[subnet-1]"),
        ('!Split [",", !ImportValue subnets]', "[!ImportValue subnet]"),
        ("!Ref Perhaps", "!Ref Given"),
        ("!Ref Offered", "!Ref Stored"),
        ("!Ref Nowhere", "!Ref Subnets"),
        ("!Ref Text", "[!Ref Text]"),
        ("[!Ref PerhapsOne]", "[!Ref PerhapsOne, !Ref Subnet]"),
        ("!If [IsProd, !FindInMap [a, b, c], []]", "!If [IsProd, !Ref Subnets, []]"),
        ('["Fn::Transform": { Name: Ours }]', "[!GetAtt Subnet.SubnetId]"),
        ("", "[!Select [0, !Ref Perhaps]]"),
    ],
)
def test_subnets_that_a_template_does_not_tell_may_be_none(ours: RulesCollection, unknown: str, known: str) -> None:
    assert found(ours, with_subnets(unknown)) == []
    assert [one[0] for one in found(ours, with_subnets(known))] == ["E9816"]
    declared = with_subnets("!Ref Subnets").replace(
        "RotationLambdaARN: !Ref Function", f"RoleName: !Ref Role\n      VpcConfig: {{ SubnetIds: {unknown or []} }}"
    )
    waiting = declared.replace("Lambda::Function\n", "Lambda::Function\n    DependsOn: Policy\n")
    assert found(ours, waiting) == []


SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: { Role: !GetAtt Role.Arn, VpcConfig: { SubnetIds: !Ref Names, SecurityGroupIds: !Ref Names } }
"""
SAM_FUNCTION = """\
  Function:
    Type: AWS::Serverless::Function
    Properties: { Runtime: python3.13, Handler: index.handler, InlineCode: pass }
"""


def test_sams_functions_and_globals_are_understood(ours: RulesCollection) -> None:
    assert [one[0] for one in found(ours, SAM + policy(INSPECTED) + ROLE + SAM_FUNCTION)] == ["E9816"]
    # SAM gives the role that it makes what a function in a VPC needs.
    without_role = SAM.replace("Role: !GetAtt Role.Arn, ", "")
    assert found(ours, without_role + policy(INSPECTED) + ROLE + SAM_FUNCTION) == []


def test_a_function_that_is_in_a_vpc_in_some_cases_is_judged_for_these(ours: RulesCollection) -> None:
    in_prod = FUNCTION.replace("VpcConfig: {", "VpcConfig: !If [IsProd, {").replace(
        "Names }", "Names }, !Ref AWS::NoValue]"
    )
    declared_in_prod = (
        "SecretId: db\nRoleName: !Ref Role\nVpcConfig: !If [IsProd, { SubnetIds: !Ref Names }, !Ref AWS::NoValue]"
    )
    waiting = in_prod.replace("    Properties", "    DependsOn: Policy\n    Properties", 1)
    assert found(ours, policy(declared_in_prod) + ROLE + waiting) == []
    assert [one[0] for one in found(ours, policy(declared_in_prod) + ROLE + in_prod)] == ["E9817"]
    declared_in_test = declared_in_prod.replace("IsProd", "IsTest")
    assert [one[0] for one in found(ours, policy(declared_in_test) + ROLE + waiting)] == ["E9816"]


# --- what is not known raises no finding -----------------------------------------------------------------------------

INTRINSICS: list[Any] = [
    {"Ref": "Text"},
    {"Ref": "Names"},
    {"Ref": "AWS::StackName"},
    {"Fn::Base64": "x"},
    {"Fn::Cidr": ["10.0.0.0/16", 2, 8]},
    {"Fn::FindInMap": ["Map", "a", "b"]},
    {"Fn::GetAtt": ["Secret", "Id"]},
    {"Fn::GetAtt": "Secret.Id"},
    {"Fn::GetAZs": ""},
    {"Fn::If": ["IsProd", {"Ref": "Text"}, {"Ref": "Names"}]},
    {"Fn::ImportValue": {"Fn::Sub": "${Stage}-x"}},
    {"Fn::Join": ["*", ["a", "?"]]},
    {"Fn::Length": [1, 2]},
    {"Fn::Select": [0, {"Ref": "Names"}]},
    {"Fn::Split": [",", "a*,b"]},
    {"Fn::Sub": "${Text}*"},
    {"Fn::Sub": ["${x}*", {"x": "y"}]},
    {"Fn::ToJsonString": {"a": 1}},
    {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://x/y"}}},
    "{{resolve:ssm:/a/name with blanks}}",
    "prefix-{{resolve:ssm:/name:3}}*",
]
AROUND = {"Secret": {"Type": "AWS::SecretsManager::Secret"}}
TOKEN = {"ServiceToken": "arn"}


def found_in(properties: Any, **more: Any) -> list[tuple[str, str]]:
    """The findings of a policy with these properties, in a template as its parts: id and message."""
    return judged(parsed(parts(properties, **more)))


def parts(properties: Any, **more: Any) -> dict[str, Any]:
    """A template with a policy of these properties, as its parts."""
    return {
        "Parameters": {"Stage": {"Type": "String", "AllowedValues": ["test", "prod"]}, "Text": {"Type": "String"}},
        "Conditions": {
            "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "IsTest": {"Fn::Equals": [{"Ref": "Stage"}, "test"]},
        },
        "Resources": {"Policy": {"Type": "Custom::RotationRolePolicy", "Properties": properties}, **AROUND, **more},
    }


def parsed(template: Any) -> Template:
    """The template as cfn-lint hands it to the rules. It sorts some lists: a copy's."""
    return Template("template.yaml", copy.deepcopy(template), ["eu-central-1"])


def judged(cfn: Template) -> list[tuple[str, str]]:
    """The findings, with what they need to be shown: id and message."""
    return [(one.rule.id, one.message) for rule in RULES for one in rule().matchall("template.yaml", cfn)]


@pytest.mark.parametrize("function", INTRINSICS, ids=json.dumps)
def test_no_intrinsic_function_in_any_property_is_judged(function: Any) -> None:
    for row in PROPERTIES:
        around: dict[str, Any] = {} if row.name in EXACTLY_ONE_OF else {"SecretId": "db"}
        if row.name == "VpcConfig":
            around["RoleName"] = "r"
        assert found_in(TOKEN | around | {row.name: function}) == [], row.name
        if row.type == "List of String":
            assert found_in(TOKEN | around | {row.name: ["db", function]}) == [], row.name
        for member in row.members:
            assert found_in(TOKEN | around | {row.name: {member.name: function}}) == [], member.name
            assert found_in(TOKEN | around | {row.name: {member.name: [function, "a"]}}) == [] or (
                member.type == "Boolean"
            )
    assert found_in(TOKEN | {"SecretId": "db", "Triggers": {"a": function}}) == []


def test_a_date_is_the_string_that_stands_there(ours: RulesCollection) -> None:
    assert found(ours, policy("SecretId: 2026-01-01")) == []


def test_what_a_macro_adds_is_not_missed() -> None:
    include = {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://x/y"}}}
    assert found_in(TOKEN | include) == []
    assert found_in(TOKEN | {"SecretId": "db", "RoleName": "r", "VpcConfig": include}) == []
    assert [one[0] for one in found_in(TOKEN | include | {"SecretID": "db"})] == ["E9811"]


@st.composite
def _with_functions(draw: st.DrawFn) -> dict[str, Any]:
    """Properties that the handler takes, some of their values behind functions."""
    by_name = {row.name: well_formed(row) for row in PROPERTIES}
    properties: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=by_name))
    secret = draw(st.sampled_from(EXACTLY_ONE_OF))
    properties = {name: value for name, value in properties.items() if name not in EXACTLY_ONE_OF}
    properties[secret] = draw(by_name[secret])
    properties.pop("VpcConfig" if "RoleName" not in properties else "RotationLambdaARN", None)
    for name in sorted(properties):
        if draw(st.booleans()):
            properties[name] = draw(_behind_functions(properties[name]))
    return properties


def _behind_functions(value: Any) -> st.SearchStrategy[Any]:
    unknown = st.sampled_from(INTRINSICS)
    kinds = [
        unknown,
        unknown.map(lambda one: {"Fn::If": ["IsProd", value, one]}),
        unknown.map(lambda one: {"Fn::If": ["IsProd", {"Fn::If": ["IsTest", one, value]}, value]}),
        st.just({"Fn::If": ["IsTest", value, value]}),
    ]
    if isinstance(value, list) and value:
        kinds.append(unknown.map(lambda one: [one, *value, {"Ref": "AWS::NoValue"}]))
        kinds.append(st.just([{"Fn::If": ["IsProd", value[0], {"Ref": "AWS::NoValue"}]}, *value]))
    if isinstance(value, dict) and value:
        name = next(iter(value))
        kinds.append(unknown.map(lambda one: value | {name: one}))
        kinds.append(st.just(value | {name: {"Fn::If": ["IsProd", value[name], {"Ref": "AWS::NoValue"}]}}))
    return st.one_of(kinds)


@MANY
@given(_with_functions())
def test_right_properties_with_any_values_behind_functions_are_let_be(properties: dict[str, Any]) -> None:
    assert found_in(TOKEN | properties) == []


@MANY
@given(st.dictionaries(st.sampled_from([row.name for row in PROPERTIES]) | st.text(max_size=5), JSON, max_size=3))
def test_whatever_the_handler_refuses_is_found_and_nothing_else(properties: dict[str, Any]) -> None:
    try:
        parse_properties(as_sent(properties))
    except RequestError:
        unjudged = "Fn::" in json.dumps(properties) or "{{resolve" in json.dumps(properties)
        assert found_in(properties) or unjudged
    else:
        assert found_in(properties) == []


def as_sent(value: Any) -> Any:
    """Properties as CloudFormation sends what stands in a template: every scalar a string."""
    if isinstance(value, dict):
        return {name: as_sent(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_sent(one) for one in value]
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else str(value)


# --- whole templates -------------------------------------------------------------------------------------------------

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
OTHERS = [ROOT / "template.yaml", *sorted(ROOT.glob("demo/*.yaml"))]


@pytest.mark.parametrize("path", [*EXAMPLES, *OTHERS], ids=lambda path: path.stem)
def test_the_examples_and_our_own_templates_are_let_be(ours: RulesCollection, path: Path) -> None:
    assert found(ours, path.read_text()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_found_wanting_once_its_dependencies_are_taken_away(ours: RulesCollection, path: Path) -> None:
    without = re.sub(r" +DependsOn:.*\n( +- .*\n)*", "", path.read_text())
    ids = {one[0] for one in found(ours, without)}
    # Where the function is in a VPC, it too has to wait for its policy.
    assert ids == ({"E9815", "E9817"} if "VpcConfig" in without else {"E9815"})


@pytest.mark.parametrize("path", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_the_events_properties_are_let_be_unless_the_handler_refuses_them(path: Path) -> None:
    properties = json.loads(path.read_text())["ResourceProperties"]
    try:
        parse_properties(properties)
    except RequestError as refused:
        assert str(refused) in [message for _, message in found_in(properties)]
    else:
        assert found_in(properties) == []


# --- damaged templates -----------------------------------------------------------------------------------------------

WHOLE: dict[str, Any] = {
    "Transform": "AWS::LanguageExtensions",
    "Parameters": {"Stage": {"Type": "String"}},
    "Conditions": {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}},
    "Globals": {"Function": {"VpcConfig": {"SubnetIds": ["s"]}}},
    "Resources": {
        "Policy": {
            "Type": "Custom::RotationRolePolicy",
            "Condition": "IsProd",
            "DependsOn": ["Secret"],
            "Properties": {
                "SecretIds": [{"Ref": "Secret"}, {"Fn::Sub": ["${a}${Secret.Id}", {"a": "b"}]}],
                "RoleName": {"Fn::If": ["IsProd", {"Ref": "Role"}, {"Ref": "AWS::NoValue"}]},
                "VpcConfig": {"SubnetIds": ["subnet-1"], "Fn::ForEach::x": []},
            },
        },
        "Second": {"Type": "Custom::RotationRolePolicy", "Properties": {"SecretId": "a", "RotationLambdaARN": "f"}},
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "a"}},
        "Attachment": {"Type": "AWS::SecretsManager::SecretTargetAttachment", "Properties": {"SecretId": "a"}},
        "Schedule": {
            "Type": "AWS::SecretsManager::RotationSchedule",
            "DependsOn": "Secret",
            "Properties": {"SecretId": {"Ref": "Attachment"}},
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "ManagedPolicyArns": [{"Fn::Join": ["/", ["a", "AWSLambdaBasicExecutionRole"]]}],
                "Policies": [{"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": ["s3:*"]}]}}],
            },
        },
        "More": {"Type": "AWS::IAM::Policy", "Properties": {"Roles": [{"Ref": "Role"}], "PolicyDocument": {}}},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "f",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "VpcConfig": {"SubnetIds": {"Ref": "Subnets"}},
            },
        },
        "Sam": {"Type": "AWS::Serverless::Function", "Properties": {"Role": {"Fn::GetAtt": "Role.Arn"}}},
        "Fn::ForEach::Many": ["x", ["a", "b"], {"P${x}": {"Type": "Custom::RotationRolePolicy"}}],
    },
    "Outputs": {"Name": {"Value": {"Fn::Sub": "${Policy.PolicyName}"}}},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def put(value: Any, path: tuple[Any, ...], damage: Any) -> Any:
    """The value with another one at the path."""
    if not path:
        return damage
    other: Any = dict(value) if isinstance(value, dict) else list(value)
    other[path[0]] = put(value[path[0]], path[1:], damage)
    return other


NO_IFS: list[Any] = [[], ["IsProd", 1], [[], [], []], {}]
NO_ATTRIBUTES: list[Any] = ["", ".", "Policy", [], ["Policy"], ["Policy", {}], {}, [[], []]]
NO_TEXTS: list[Any] = ["${", "${}", "${Policy.}", [], [1, 2], ["${a}"], ["${a}", []], {}]
DAMAGE = JSON | st.sampled_from(
    [
        *INTRINSICS,
        *({"Fn::If": one} for one in NO_IFS),
        *({"Fn::GetAtt": one} for one in NO_ATTRIBUTES),
        *({"Fn::Sub": one} for one in NO_TEXTS),
        {"Ref": []},
    ]
)
OTHER_FORMS: list[Any] = [
    None,
    7,
    "",
    "x",
    [],
    [None],
    {},
    {"Ref": []},
    {"Fn::If": ["IsProd", [], {}]},
    {"Fn::Sub": [[]]},
]


@pytest.mark.parametrize("path", list(places(WHOLE))[1:], ids=lambda path: ".".join(map(str, path)))
def test_a_template_with_a_part_of_another_form_is_no_problem(path: tuple[Any, ...]) -> None:
    for damage in OTHER_FORMS:
        damaged_and_found(put(WHOLE, path, damage))


def damaged_and_found(template: Any) -> list[tuple[str, str]]:
    """The findings in a template; none where cfn-lint itself does not get as far as to ask the rules."""
    try:
        cfn = parsed(template)
    except Exception:  # whatever cfn-lint makes of it
        return []
    return judged(cfn)


@MANY
@given(st.lists(st.tuples(st.sampled_from(list(places(WHOLE))[1:]), DAMAGE), min_size=1, max_size=3))
@example([(("Resources", "Function", "Type"), []), (("Resources", "Role", "Type"), {})])
def test_no_damage_is_a_problem(damages: list[tuple[tuple[Any, ...], Any]]) -> None:
    template = WHOLE
    # From the inside out, so that every path is still there.
    for path, damage in sorted(damages, key=lambda one: -len(one[0])):
        try:
            template = put(template, path, damage)
        except (KeyError, IndexError, TypeError):
            continue
    damaged_and_found(template)


def test_json_is_read_and_a_loop_is_unrolled(ours: RulesCollection) -> None:
    loop = {
        "Transform": "AWS::LanguageExtensions",
        "Resources": {
            "Fn::ForEach::Policies": [
                "Name",
                ["One", "Two"],
                {
                    "${Name}Policy": {
                        "Type": "Custom::RotationRolePolicy",
                        "Properties": {"ServiceToken": "x", "SecretId": {"Fn::Sub": "${Name}"}, "PropagationDelay": 61},
                    }
                },
            ]
        },
    }
    text = json.dumps(loop, indent=1)
    # Both are made of the same line: cfn-lint tells it once.
    assert [one[0] for one in found(ours, text)] == ["E9812"]
    assert found(ours, text.replace("61", "60")) == []
    # Without the transform it is left alone.
    assert found(ours, text.replace("LanguageExtensions", "Other")) == []
    [(rule, line, _)] = found(ours, json.dumps(parts(TOKEN | {"SecretId": "db", "PropagationDelay": 61}), indent=1))
    assert (rule, line) == ("E9812", '"PropagationDelay": 61')


MADE_UP = """\
Transform: AWS::LanguageExtensions
Parameters:
  Profiles: { Type: "AWS::SSM::Parameter::Value<List<String>>" }
Resources:
  Fn::ForEach::Policies:
    - Profile
    - !Ref Profiles
    - ${Profile}Policy:
        Type: Custom::RotationRolePolicy
        Properties: { ServiceToken: x, SecretId: db, PolicyProfile: !Ref Profile }
"""


def test_what_cfn_lint_makes_up_is_not_judged(ours: RulesCollection) -> None:
    assert found(ours, MADE_UP) == []
    assert len(found(ours, MADE_UP.replace("!Ref Profiles", "[Strict, strict]"))) == 1
    delays = "Mappings: { Delays: { eu-central-1: { Seconds: 61 } } }\nTransform: AWS::LanguageExtensions\n"
    of_map = "SecretId: db\nPropagationDelay: !FindInMap [Delays, !Ref AWS::Region, Seconds]"
    assert found(ours, delays + policy(of_map)) == []


def test_what_a_macro_may_change_is_not_judged(ours: RulesCollection) -> None:
    text = policy("SecretId: !Ref Secret\nAccessCheck: wrong") + SCHEDULE
    assert len(found(ours, text)) == 2
    assert found(ours, f"Transform: [AWS::LanguageExtensions, Ours]\n{text}") == []
    assert len(found(ours, f"Transform: [AWS::SecretsManager-2024-09-16]\n{text}")) == 2
    include = "{ Name: AWS::Include, Parameters: { Location: s3://x/y } }"
    for missing in (text, policy("RoleName: r\nAccessCheck: wrong")):
        assert len(found(ours, missing)) == 2
        for line in (f"Transform: {include}", f"Transform: [{include}]", f"Fn::Transform: {include}"):
            assert [one[0] for one in found(ours, f"{line}\n{missing}")] == ["E9812"]
        inside = missing.replace("Resources:\n", f"Resources:\n  Fn::Transform: {include}\n")
        assert [one[0] for one in found(ours, inside)] == ["E9812"]
    changed = SCHEDULE.replace("    Properties:", "    Metadata: { Fn::Transform: { Name: Ours } }\n    Properties:")
    assert changed != SCHEDULE
    assert found(ours, policy("SecretId: !Ref Secret") + changed) == []


OUR_MACRO = "Fn::Transform: { Name: Ours }"
INCLUDING = "Fn::Transform: { Name: AWS::Include, Parameters: { Location: s3://x/y } }"


@pytest.mark.parametrize(
    "place",
    [
        "Resources:\n",
        "  Policy:\n",
        "    Properties:\n",
        "      VpcConfig:\n",
    ],
)
def test_what_stands_beside_a_macro_of_ones_own_is_not_judged_and_beside_an_include_is(
    ours: RulesCollection, place: str
) -> None:
    vpc_config = "RoleName: r\nVpcConfig:\n  SubnetIds: text\n  Subnets: []"
    text = policy(f"SecretId: db\n{vpc_config}")
    assert sorted(one[0] for one in found(ours, text)) == ["E9811", "E9812"]
    at = text.index(place) + len(place)
    indent = " " * (len(place) - len(place.lstrip()) + 2)
    beside = [found(ours, f"{text[:at]}{indent}{macro}\n{text[at:]}") for macro in (OUR_MACRO, INCLUDING)]
    assert beside[0] == []
    assert sorted(one[0] for one in beside[1]) == ["E9811", "E9812"]


@pytest.mark.parametrize(
    "place",
    [
        "  Role:\n    Type: AWS::IAM::Role\n",
        "  Function:\n    Type: AWS::Lambda::Function\n",
        "  More:\n    Type: AWS::IAM::Policy\n",
        "  Policy:\n    Type: Custom::RotationRolePolicy\n",
    ],
)
@pytest.mark.parametrize("properties", [INSPECTED, DECLARED])
def test_a_macro_in_a_function_its_role_or_a_policy_may_set_the_order_right(
    ours: RulesCollection, place: str, properties: str
) -> None:
    more = "  More:\n    Type: AWS::IAM::Policy\n    Properties: { PolicyName: x, Roles: [other] }\n"
    text = policy(properties) + ROLE + FUNCTION + more
    assert text.count(place) == 1
    assert len(found(ours, text)) == 1
    assert found(ours, text.replace(place, f"{place}    {OUR_MACRO}\n")) == []
    assert len(found(ours, text.replace(place, f"{place}    Metadata: {{ Name: Ours }}\n"))) == 1


def test_a_policy_that_a_macro_changes_may_be_another_secrets_or_the_schedules(ours: RulesCollection) -> None:
    text = policy("SecretId: !Ref Secret") + SCHEDULE
    assert [one[0] for one in found(ours, text)] == ["E9815"]
    changed = f"    {OUR_MACRO}\n    Properties:\n"
    assert found(ours, text.replace("RotationRolePolicy\n    Properties:\n", f"RotationRolePolicy\n{changed}")) == []
    second = f"  Second:\n    Type: Custom::RotationRolePolicy\n{changed}      SecretId: db\n"
    assert [one[0] for one in found(ours, text + second)] == ["E9815"]
    waiting = text.replace("RotationSchedule\n", "RotationSchedule\n    DependsOn: Second\n")
    assert found(ours, waiting + second) == []


def test_a_policy_for_a_role_that_is_not_told_may_declare_the_function_that_waits_for_it(ours: RulesCollection) -> None:
    text = policy(INSPECTED) + ROLE + FUNCTION.replace("    Properties", "    DependsOn: Second\n    Properties", 1)
    second = "  Second:\n    Type: Custom::RotationRolePolicy\n    Properties:\n"
    second += "      ServiceToken: x\n      SecretId: db\n      RoleName: NAME\n      VpcConfig: { SubnetIds: [a] }\n"
    assert found(ours, text + second.replace("NAME", "!Ref Text")) == []
    assert [one[0] for one in found(ours, text + second.replace("NAME", "other"))] == ["E9816"]


def test_properties_that_a_macro_beside_their_resources_type_may_add_are_not_missed(ours: RulesCollection) -> None:
    text = policy("RoleName: r")
    assert [one[0] for one in found(ours, text)] == ["E9813"]
    for macro in (OUR_MACRO, INCLUDING):
        assert found(ours, text.replace("  Policy:\n", f"  Policy:\n    {macro}\n")) == []


def test_an_attribute_beside_a_macro_of_ones_own_is_not_judged(ours: RulesCollection) -> None:
    text = policy("SecretId: db") + "Outputs:\n  Output:\n    Value: !GetAtt Policy.X\n"
    assert [one[0] for one in found(ours, text)] == ["E9814"]
    assert found(ours, text.replace("  Output:\n", f"  Output:\n    {OUR_MACRO}\n")) == []


def test_no_template_at_all_is_a_problem(ours: RulesCollection) -> None:
    for text in ("Resources: {}\n", "Resources:\n", "Resources: []\n", "Outputs: {}\n"):
        assert found(ours, text) == []


# --- as users load them ----------------------------------------------------------------------------------------------


def test_there_is_a_row_for_every_rule_that_is_loaded(ours: RulesCollection) -> None:
    assert [rule for rule, _ in rows()] == sorted(rule.id for rule in ours)
    assert all(re.fullmatch("[EW]9[0-9]{3}", rule) for rule, _ in rows())
    assert all(rule.shortdesc and rule.description and rule.tags for rule in RULES)
    # Beside all of cfn-lint's own, whose ids must be others.
    assert {rule for rule, _ in rows()} <= {rule.id for rule in get_rules([rules_module.__name__], [], [])}


@pytest.mark.parametrize("way", ["module", "path"])
def test_the_command_finds_the_mistakes_and_lets_the_rest_be(way: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(policy("SecretID: db") + SCHEDULE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if way == "module":
        # As if it were installed.
        environment["PYTHONPATH"] = f"{ROOT / 'handler'}:{ROOT / 'cli'}"
    rules = rules_module.__name__ if way == "module" else BY_PATH
    result = subprocess.run(
        [CFN_LINT, "--append-rules", rules, "--format", "parseable", "--", tmp_path / "wrong.yaml", *EXAMPLES],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    lines = [line for line in result.stdout.splitlines() if ":E9" in line]
    assert [line.split(":")[-2] for line in lines] == ["E9813", "E9811"], result.stdout + result.stderr
    assert all("wrong.yaml" in line for line in result.stdout.splitlines())
