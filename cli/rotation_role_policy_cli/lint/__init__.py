"""Rules for cfn-lint: mistakes in templates that use Custom::RotationRolePolicy.

Load them with ``cfn-lint --append-rules rotation_role_policy_cli.lint`` or, from a checkout, the path of this folder.
A rule raises a finding only if the template alone proves the mistake.
"""

from rotation_role_policy_cli.lint.rules.function_before_declared import FunctionBeforeDeclared
from rotation_role_policy_cli.lint.rules.inspected_before_function import InspectedBeforeFunction
from rotation_role_policy_cli.lint.rules.invalid_combination import InvalidCombination
from rotation_role_policy_cli.lint.rules.invalid_value import InvalidValue
from rotation_role_policy_cli.lint.rules.no_function_or_role import NoFunctionOrRole
from rotation_role_policy_cli.lint.rules.rotated_superuser import RotatedSuperuser
from rotation_role_policy_cli.lint.rules.schedule_before_permission import NoPermission, ScheduleBeforePermission
from rotation_role_policy_cli.lint.rules.schedule_before_policy import ScheduleBeforePolicy
from rotation_role_policy_cli.lint.rules.two_functions import TwoFunctions
from rotation_role_policy_cli.lint.rules.unknown_attribute import UnknownAttribute
from rotation_role_policy_cli.lint.rules.unknown_property import UnknownProperty

_PROPERTY_RULES = (UnknownProperty, InvalidValue, InvalidCombination, UnknownAttribute)
_ORDER_RULES = (ScheduleBeforePolicy, InspectedBeforeFunction, FunctionBeforeDeclared)
_WARNINGS = (NoFunctionOrRole, RotatedSuperuser)
_FUNCTION_RULES = (ScheduleBeforePermission, NoPermission, TwoFunctions)
RULES = _PROPERTY_RULES + _ORDER_RULES + _WARNINGS + _FUNCTION_RULES
