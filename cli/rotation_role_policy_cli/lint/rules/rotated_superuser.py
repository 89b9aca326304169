"""W9819: superuser secrets that are themselves rotated."""

from collections.abc import Iterator, Mapping
from functools import partial

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule, findings_in_scenarios
from rotation_role_policy_cli.lint.rules.template_graph import NO_VALUE, Path, TemplateGraph, selected


class RotatedSuperuser(PolicyRule):
    """A rotation that uses a superuser can fail while the password of the superuser changes."""

    id = "W9819"
    shortdesc = "A superuser secret that the template also rotates"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for policy in graph.policies:
            yield from findings_in_scenarios(graph, policy, partial(_rotated, graph, policy))


def _rotated(graph: TemplateGraph, policy: str, scenario: Mapping[str, bool]) -> Iterator[tuple[Path, str]]:
    superuser = selected(graph.policies[policy].get("SuperuserSecretId", NO_VALUE), scenario)
    if superuser in ("", None, NO_VALUE):
        return
    schedules = graph.of_type("AWS::SecretsManager::RotationSchedule")
    rotating = [
        name
        for name, properties in ({policy: graph.policies[policy]} | graph.policies | schedules).items()
        if graph.identity(superuser) in graph.secrets(properties, scenario)
        and (graph.exists_with(name, policy) or scenario.get(str(graph.conditions[name])))
    ]
    if policy in rotating:
        yield (
            ["SuperuserSecretId"],
            f"{policy} also rotates this secret, so the rotation function may change the superuser secret. Give the"
            " secret as SuperuserSecretId or as a secret to rotate, not as both.",
        )
    elif rotating:
        yield (
            ["SuperuserSecretId"],
            f"{rotating[0]} also rotates this secret. The superuser's password then changes in the database before it"
            f" changes in the secret, and a rotation that uses {policy} can fail in between. Schedule the two rotations"
            " at different times.",
        )
