"""The HTML report of an audit: its content, and that no value becomes HTML. test_report_in_browser.py runs the page."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rotation_role_policy import __version__
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Acceptance, Words
from rotation_role_policy.audit.report import Report, RoleStatement, Rotation, merge
from rotation_role_policy_cli.audit.page import html_page
from tests.support.audit_report import (
    ACCOUNT,
    DANGEROUS,
    account,
    dangerous_report,
    finding,
    full_report,
    large_report,
    report,
    role_arn,
    rotation,
    secret_arn,
    small_report,
)

MEMBERS = ("name", "text", "last", "next", "owner", "role", "function", "account", "region", "found")
"""Of a secret in the data for the script."""
OPTIONS = {"--region": ["eu-central-1", "us-east-1"], "--html": f"{DANGEROUS}.html", "--all-regions": True}


class Page(HTMLParser):
    """The page as elements and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        # Without the places where a line can break.
        self.html = html.replace("<wbr>", "")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def index(self) -> dict[str, Any]:
        """The data for the script."""
        [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', self.html, re.DOTALL)
        return dict(json.loads(text))

    @property
    def text(self) -> str:
        """The text, with single spaces."""
        return " ".join("".join(self.texts).split())

    def all(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        """Return the attributes of the elements, of those with this class if one is given."""
        return [
            attributes
            for each, attributes in self.elements
            if each == tag and (not name or name in (attributes.get("class") or "").split())
        ]

    def section(self, secret_name: str) -> str:
        """Return the HTML of the section of a secret."""
        [section] = [part for part in self.html.split("<details")[1:] if f"<h3>{secret_name}</h3>" in part]
        return section.partition("</details>")[0]


def written(of: Report, folder: Path) -> Page:
    path = folder / "report.html"
    with path.open("w", encoding="utf-8", errors="replace") as file:
        html_page.write(of, file, OPTIONS)
    return Page(path.read_text("utf-8"))


# --- safety ---


def test_values_from_aws_become_neither_elements_nor_attributes(tmp_path: Path) -> None:
    dangerous = written(dangerous_report(), tmp_path)
    assert DANGEROUS not in dangerous.html
    # In the heading, the message, the remediation, the difference and elsewhere, each time as text.
    assert dangerous.text.count(DANGEROUS) > 10
    assert (dangerous.all("img"), len(dangerous.all("script"))) == ([], 2)
    assert {name for _, attributes in dangerous.elements for name in attributes if name.startswith("on")} == set()
    # Of a dangerous name in an attribute, no part becomes another attribute.
    assert {frozenset(attributes) for attributes in dangerous.all("article", "finding")} == {
        frozenset({"class"}),
        frozenset({"class", "data-found", "data-text"}),
    }
    assert dangerous.index["secrets"][0][0] == DANGEROUS


def test_the_policy_of_the_secret_is_escaped_too(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    assert secret.state is not None
    [of_state] = secret.state.secrets
    state = replace(secret.state, secrets=(replace(of_state, key_arn="<script>key</script>"),))
    page = written(report([replace(secret, state=state)], []), tmp_path)
    assert "&lt;script&gt;key&lt;/script&gt;" in page.section("prod/orders")
    assert len(page.all("script")) == 2


def test_the_content_security_policy_allows_only_the_style_sheet_and_the_script_of_the_page(tmp_path: Path) -> None:
    page = written(full_report(), tmp_path)
    [content_security_policy] = [
        each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = {
        tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, text in re.findall(r"<(style|script)>(.*?)</\1>", page.html, re.DOTALL)
    }
    assert content_security_policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_names_no_other_file_and_has_no_inline_event_or_style(tmp_path: Path) -> None:
    page = written(full_report(), tmp_path)
    names = {name for _, attributes in page.elements for name in attributes}
    assert names & {"src", "srcset", "action", "style"} == set()
    assert [name for name in names if name.startswith("on")] == []
    assert page.all("link") == []
    assert {(each["href"] or "")[0] for each in page.all("a")} == {"#"}
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_half_of_a_surrogate_pair_in_a_policy_does_not_end_the_report(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    page = written(
        report([secret], [finding(FindingType.KMS_ALL_KEYS, secret, "The policy \ud800 allows it.")]), tmp_path
    )
    assert r"The policy \ud800 allows it." in page.text


def test_control_characters_are_shown_as_such(tmp_path: Path) -> None:
    secret = replace(rotation("prod/orders"), secret_name="a\u202eb")
    page = written(report([secret], [finding(FindingType.KMS_ALL_KEYS, secret, "The \x1b[1m \x07 \u2066.")]), tmp_path)
    assert r"The \x1b[1m \x07 \u2066." in page.text
    assert r"a\u202eb" in page.text
    assert not {"\x1b", "\x07", "\u2066", "\u202e"} & set(page.html)


# --- content ---


def test_the_head_has_the_account_the_regions_the_time_in_utc_and_the_totals(tmp_path: Path) -> None:
    in_another_zone = datetime(2026, 3, 14, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    page = written(
        replace(small_report(), accounts=(account(("eu-central-1", "us-east-1"), time=in_another_zone),)), tmp_path
    )
    assert re.findall(r"<dt>(\w+)</dt><dd>(?:<time[^>]*>)?([^<]*)", page.html)[:4] == [
        ("Account", "123456789012"),
        ("Regions", "eu-central-1, us-east-1"),
        ("Caller", "arn:aws:iam::123456789012:user/auditor"),
        ("Time", "2026-03-13 23:30 UTC"),
    ]
    totals = dict(re.findall(r"<dt>([^<]*)</dt><dd><a [^>]*>([\d,]+)</a></dd></div>", page.html))
    assert totals == {
        "Secrets": "5",
        "Functions": "3",
        "Roles": "3",
        "Errors": "1",
        "Warnings": "1",
        "Notes": "1",
        "Secrets without errors and warnings": "2",
    }


def test_the_head_has_the_version_and_the_options_as_evidence(tmp_path: Path) -> None:
    page = written(small_report(), tmp_path)
    assert f"Versionrotation-role-policy {__version__} " in page.text
    options = f"Options--region eu-central-1, us-east-1, --html {DANGEROUS}.html, --all-regions"
    assert options in page.text
    path = tmp_path / "without.html"
    with path.open("w") as file:
        html_page.write(small_report(), file, {})
    assert "OptionsNone" in Page(path.read_text()).text


def test_a_complete_report_has_no_banner(tmp_path: Path) -> None:
    assert "not complete" not in written(small_report(), tmp_path).text


def test_the_banner_says_why_the_audit_ended_early(tmp_path: Path) -> None:
    text = written(replace(small_report(), accounts=(account(stopped="The credentials expired."),)), tmp_path).text
    assert (
        "This audit is not complete The audit ended before everything was inspected: The credentials expired." in text
    )
    assert "What was not inspected may have errors" in text
    assert "inspection failed" not in text


def test_the_banner_counts_what_could_not_be_inspected(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    text = written(report([secret], [finding(FindingType.NOT_INSPECTED, secret)]), tmp_path).text
    assert "This audit is not complete 1 inspection failed." in text
    assert "ended before" not in text


def test_the_list_has_each_type_of_finding_with_its_numbers_worst_first(tmp_path: Path) -> None:
    page = written(full_report(), tmp_path)
    number = r'<td class="number"><a[^>]*>(\d+)</a></td>'
    rows = re.findall(rf'<a href="#code=(\w+)">([^<]*)</a>.*?{number}{number}', page.html)
    assert [row[:2] for row in rows] == [(each.code, each.title) for each in FindingType]
    numbers = {code: (findings, secrets) for code, _, findings, secrets in rows}
    # One finding of a role with two secrets; two findings, one of which is of no secret.
    assert (numbers["SharedRole"], numbers["NotInspected"]) == (("1", "2"), ("2", "1"))


def test_the_secrets_come_worst_first_and_then_by_arn(tmp_path: Path) -> None:
    page = written(small_report(), tmp_path)
    assert re.findall("<summary><h3>([^<]*)", page.html) == [
        "prod/orders", "prod/members", "prod/users", "a/clean", "b/clean",
    ]  # fmt: skip


@pytest.mark.parametrize(("errors", "opened"), [(1, 1), (10, 10), (11, 0)])
def test_sections_with_errors_are_open_if_there_are_few(tmp_path: Path, errors: int, opened: int) -> None:
    page = written(large_report(12, errors), tmp_path)
    assert sum("open" in attributes for attributes in page.all("details")) == opened


def test_a_section_has_the_facts_of_the_secret(tmp_path: Path) -> None:
    section = Page(written(small_report(), tmp_path).section("a/clean")).text
    for fact in (
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a/clean-AbCdEf",
        "arn:aws:lambda:eu-central-1:123456789012:function:tidy",
        "arn:aws:iam::123456789012:role/service-role/tidy-role",
        "DatabaseRotationPolicy-697baaecb2ba",
        "2026-02-20 04:00 UTC",
        "2026-03-22 23:59 UTC",
        "No findings",
    ):
        assert fact in section


def test_a_section_has_its_findings_with_message_and_remediation(tmp_path: Path) -> None:
    section = Page(written(small_report(), tmp_path).section("prod/orders"))
    assert "1 error 1 note" in section.text
    assert (
        "Error The role lacks an action ActionNotGranted No policy allows secretsmanager:PutSecretValue. Resource: "
        f"{role_arn('rotate-postgres-role')} What to do: Put a Custom::RotationRolePolicy on the role (--adopt), or"
        " allow the action."
    ) in section.text
    assert "Concerns every secret" not in section.text


@pytest.mark.parametrize("scope", ["function", "role"])
def test_a_finding_of_all_secrets_of_a_function_or_role_is_in_each_section_and_says_so(
    tmp_path: Path, scope: str
) -> None:
    rotations = [rotation("prod/orders"), rotation("prod/users"), rotation("prod/other", "other")]
    page = written(report(rotations, [finding(FindingType.KMS_ALL_KEYS, rotations[0], "It may.", scope)]), tmp_path)
    concerned = [f"Concerns every secret of this {scope}." in page.section(each.secret_name) for each in rotations]
    assert concerned == [True, True, False]


def test_a_finding_of_no_secret_has_a_place_of_its_own(tmp_path: Path) -> None:
    html = written(full_report(), tmp_path).html
    general = html[html.index("Findings without a secret") : html.index('<h2 id="secrets"')]
    assert "AWS denied secretsmanager:ListSecrets in us-east-1" in general
    assert general.count("<article") == 1
    assert "Findings without a secret" not in written(small_report(), tmp_path).text


def test_each_finding_of_the_report_is_on_the_page(tmp_path: Path) -> None:
    text = written(full_report(), tmp_path).text
    assert [each.message for each in full_report().findings if each.message not in text] == []


def test_the_lines_of_a_difference_are_marked_and_keep_their_sign(tmp_path: Path) -> None:
    section = written(full_report(), tmp_path).section("prod/orders")
    [(removed, added)] = re.findall(r"<del>(.*?)</del>\n<ins>(.*?)</ins>\n   &#34;Effect", section)
    assert removed.startswith("-  &#34;Resource&#34;: ")
    assert removed.endswith("secret:prod/*&#34;,")
    assert added.startswith("+  &#34;Resource&#34;: ")
    assert added.endswith("prod/orders-AbCdEf&#34;,")


def rows_of(section: str) -> dict[str, str]:
    """Return the rows of the comparison in a section, as text by their headings."""
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', section, re.DOTALL)
    return {Page(heading.partition('<span class="reason">')[0]).text: Page(cells).text for heading, cells in rows}


def with_policies(*statements: RoleStatement) -> Report:
    """Return a report on a role with statements and one secret."""
    secret = rotation("prod/orders")
    return replace(report([secret], []), role_statements={secret.role_arn: statements})


def test_a_section_has_today_s_statements_beside_those_that_the_rotations_need(tmp_path: Path) -> None:
    document = {"Effect": "Allow", "Action": ["secretsmanager:*", "kms:Decrypt"], "Resource": "*"}
    page = written(with_policies(RoleStatement("rotation", 1, document)), tmp_path)
    rows = rows_of(page.section("prod/orders"))
    assert list(rows) == [
        "RotateSecret Different",
        "GeneratePassword Different",
        "UseSecretKey Different",
        "ManageNetworkInterfaces Missing",
        "KeepNetworkInterfacesFromCode Missing",
    ]
    assert rows["RotateSecret Different"] == (
        "rotation, statement 1 - secretsmanager:* - on *"
        " + secretsmanager:DescribeSecret + secretsmanager:GetSecretValue + secretsmanager:PutSecretValue"
        " + secretsmanager:UpdateSecretVersionStage"
        " + on arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/orders-AbCdEf"
    )
    assert rows["GeneratePassword Different"].endswith("+ secretsmanager:GetRandomPassword on *")
    assert rows["UseSecretKey Different"].startswith(
        "rotation, statement 1 kms:Decrypt - on * - without a condition on kms:Enc"
    )
    assert rows["ManageNetworkInterfaces Missing"].startswith("Nothing ec2:CreateNetworkInterface ")
    assert " Deny ec2:" in rows["KeepNetworkInterfacesFromCode Missing"]
    assert rows["KeepNetworkInterfacesFromCode Missing"].endswith("if lambda:SourceFunctionArn is present")


def test_a_policy_as_it_should_be_is_shown_once(tmp_path: Path) -> None:
    needed = rotation("prod/orders").statements or []
    page = written(with_policies(*(RoleStatement("own", each["Sid"], each) for each in needed)), tmp_path)
    rows = rows_of(page.section("prod/orders"))
    assert [heading.rpartition(" ")[2] for heading in rows] == ["Same"] * 5
    assert rows["GeneratePassword Same"] == "own, GeneratePassword secretsmanager:GetRandomPassword on *"
    assert "<ins>" not in page.section("prod/orders")


def test_what_no_rotation_needs_is_shown_last_without_the_advice_to_remove_it(tmp_path: Path) -> None:
    other = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret_arn("admin")}
    deny = {"Effect": "Deny", "Action": "secretsmanager:DeleteSecret", "Resource": "*"}
    page = written(with_policies(RoleStatement("a", "Admin", other), RoleStatement("b", 2, deny)), tmp_path)
    rows = list(rows_of(page.section("prod/orders")).items())[-2:]
    assert rows == [
        (
            "Only today",
            f"a, Admin secretsmanager:GetSecretValue on {secret_arn('admin')} None of the secrets that are compared",
        ),
        ("Deny", "b, statement 2 Deny secretsmanager:DeleteSecret on * The findings say if it blocks a rotation."),
    ]


def test_a_role_that_could_not_be_read_has_only_what_is_needed(tmp_path: Path) -> None:
    orders = replace(rotation("prod/orders"), policy_name="")
    unread = replace(small_report(), role_statements={})
    section = written(replace(unread, rotations=(*unread.rotations, orders)), tmp_path).section("prod/members")
    assert "The policies of the role could not be read." in section
    assert "Owner Unknown: the role could not be read" in Page(section).text.replace("Owner", "Owner ")
    assert "Compared with what 2 secrets of this role in the report need." in section
    rows = rows_of(section)
    assert next(iter(rows)) == "RotateSecret"
    assert rows["RotateSecret"].startswith("Unknown secretsmanager:DescribeSecret ")
    assert f"{secret_arn('prod/members')} on {secret_arn('prod/users')}" in rows["RotateSecret"]


def test_a_secret_that_was_not_inspected_has_no_statements_and_says_why(tmp_path: Path) -> None:
    section = written(full_report(), tmp_path).section("legacy/unknown")
    assert "Unknown, because the secret or its function could not be inspected." in section
    assert "<table" not in section


def test_a_secret_that_was_never_rotated_has_no_dates(tmp_path: Path) -> None:
    secret = replace(rotation("prod/new"), last_rotated=None, next_rotation=None, policy_name="")
    section = written(report([secret], []), tmp_path).section("prod/new")
    assert "<dt>Last rotation</dt><dd>Never</dd>" in section
    assert "<dt>Next rotation</dt><dd>Unknown</dd>" in section
    assert "No policy of a Custom::RotationRolePolicy" in section


def test_an_audit_of_no_secrets_is_a_page_too(tmp_path: Path) -> None:
    text = written(report([], []), tmp_path).text
    assert "What was found Nothing." in text
    assert "0 secrets" in text


def test_the_search_text_has_no_remediation_because_it_would_match_every_secret_with_the_finding(
    tmp_path: Path,
) -> None:
    secret = replace(rotation("Prod/ORDERS"), tags={"Team": "Shop"})
    page = written(report([secret], [finding(FindingType.ACTION_NOT_GRANTED, secret, "The Message")]), tmp_path)
    [[name, text, *_]] = page.index["secrets"]
    assert name == "Prod/ORDERS"
    words = ("prod/orders", secret.function_arn, secret.role_arn, "actionnotgranted", "message", "team=shop")
    assert set(words) <= set(text.split())
    assert "--adopt" not in text


def test_the_data_for_the_script_has_the_groups_the_dates_and_the_findings(tmp_path: Path) -> None:
    index = written(small_report(), tmp_path).index
    secrets = [dict(zip(MEMBERS, each, strict=True)) for each in index["secrets"]]
    shared = [{name: index[name][each[name]] for name in MEMBERS[4:]} for each in secrets]
    assert shared[0] == {
        "owner": "",
        "role": role_arn("rotate-postgres-role"),
        "function": "arn:aws:lambda:eu-central-1:123456789012:function:rotate-postgres",
        "account": "123456789012",
        "region": "eu-central-1",
        "found": "error:ActionNotGranted note:NoPolicy",
    }
    assert [each["found"] for each in shared[1:]] == ["warning:KmsAllKeys", "warning:KmsAllKeys", "none", "none"]
    assert (secrets[0]["last"], secrets[0]["next"]) == (1771560000, 1774223940)


def test_the_sections_of_many_secrets_are_compressed_and_the_same_as_those_of_few(tmp_path: Path) -> None:
    large = large_report(301, 301)
    page = written(large, tmp_path)
    [data] = re.findall(r'id="data">(.*?)</script>', page.html)
    [chunks, per_chunk] = re.findall(r'data-per-chunk="(\d+)">(.*?)</script>', page.html)[0][::-1]
    sections = [section for chunk in json.loads(chunks) for section in inflated(chunk)]
    assert (len(sections), len(inflated(data)["secrets"]), per_chunk) == (301, 301, "200")
    assert "<noscript>" in page.html
    assert page.html.count('<div class="body">') == 0
    few = replace(large, rotations=large.rotations[:300], findings=large.findings[:300])
    inline = written(few, tmp_path).section("prod/00007")
    assert Page(sections[7]).html.strip() in inline


def test_a_page_of_many_secrets_is_small_also_if_each_has_a_role_of_its_own(tmp_path: Path) -> None:
    large = large_report(1_000, 1_000)
    document = {"Effect": "Allow", "Action": ["secretsmanager:*", "kms:*"], "Resource": "*"}
    rotations = tuple(
        replace(each, role_arn=f"{each.role_arn}-{number}") for number, each in enumerate(large.rotations)
    )
    statements = {
        each.role_arn: tuple(RoleStatement(f"policy-{each.secret_name}", number, document) for number in range(5))
        for each in rotations
    }
    page = written(replace(large, rotations=rotations, role_statements=statements), tmp_path)
    assert len(page.html) < 800_000


def inflated(data: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(data)))


def test_accepted_findings_are_shown_as_such(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    accepted = Acceptance("ActionNotGranted", "*", "Known.", date(2026, 12, 31))
    found = replace(finding(FindingType.ACTION_NOT_GRANTED, secret), accepted=accepted)
    page = written(report([secret], [found]), tmp_path)
    assert "What was found Nothing that is not accepted." in page.text
    section = Page(page.section("prod/orders")).text
    assert "1 accepted" in section
    assert "No findings" not in section
    assert "Accepted until 2026-12-31: Known." in section
    assert (
        page.index["found"][0],
        next(each["href"] for each in page.all("a") if "Accepted: 1" in str(each)),
    ) == ("accepted:ActionNotGranted none", "#severity=accepted")


def test_a_page_of_several_accounts_says_where_a_command_is_for(tmp_path: Path) -> None:
    here = replace(rotation("prod/orders"), owner={"aws:cloudformation:stack-name": "shop"})
    secret, function = (each.replace(ACCOUNT, "999999999999") for each in (here.secret_arn, here.function_arn))
    there = Rotation(secret, "x", function)
    command = "aws iam delete-role-policy"
    words = Words("Bad.", f"Delete it ({command}).", (command,))
    found = replace(finding(FindingType.KMS_ALL_KEYS, here), words=words)
    one = report([here], [found])
    other = replace(report([there], []), accounts=(replace(account(), id="999999999999"),))
    both = written(merge([one, other]), tmp_path)
    assert f"What to do in the account {ACCOUNT}: Delete it aws iam" in both.text
    assert set(both.index["owner"]) == {f"shop ({ACCOUNT})", ""}
    assert "What to do: Delete it aws iam" in written(one, tmp_path).text


def test_reports_of_one_account_name_it_once_and_have_their_times(tmp_path: Path) -> None:
    early = replace(small_report(), accounts=(account(time=datetime(2025, 9, 14, tzinfo=UTC)),))
    page = written(merge([small_report(), early]), tmp_path)
    assert "Account123456789012 Regions" in page.text
    assert "2025-09-14 00:00 UTC to 2026-03-14 09:26 UTC" in page.text


def test_of_a_role_in_two_reports_the_later_one_counts() -> None:
    document = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    role, late = role_arn("a"), (RoleStatement("late", 1, document),)
    new = replace(small_report(), role_statements={role: late})
    old = replace(new, accounts=(account(time=datetime(2025, 9, 14, tzinfo=UTC)),), role_statements={role: ()})
    assert merge([new, old]).role_statements == merge([old, new]).role_statements == {role: late}


def test_a_section_names_the_resource_of_its_policy(tmp_path: Path) -> None:
    section = written(report([replace(rotation("prod/orders"), declared_in=("shop", "Policy"))], []), tmp_path)
    assert "of the resource Policy of the stack shop" in section.section("prod/orders")


def test_commands_stand_on_lines_of_their_own_and_the_text_refers_to_them(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    longer, shorter = "aws iam x --role-name 'a b' > COPY.json", "aws iam x"
    words = Words(
        "Bad.", f"Keep it ({longer}), then call ({shorter}). Then wait: {longer}. That is (all).", (longer, shorter)
    )
    found = replace(finding(FindingType.KMS_ALL_KEYS, secret), words=words)
    section = written(report([secret], [found]), tmp_path).section("prod/orders")
    steps = re.findall(r"<li>([^<]*)(?:<span[^>]*><code class=\"command\">(.*?)</code></span>)?</li>", section)
    assert [(text.strip(), Page(command).text) for text, command in steps[:4]] == [
        ("Keep it", longer),
        ("then call", shorter),
        ("Then wait:", longer),
        ("That is (all).", ""),
    ]


def test_the_reason_of_a_statement_is_that_of_its_kms_scope(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    scoped = report([replace(secret, kms_scope="Secret")], [])
    assert "this customer managed key encrypts" in written(report([secret], []), tmp_path).section("prod/orders")
    section = written(scoped, tmp_path).section("prod/orders")
    assert "this customer managed key encrypts" not in section
    assert ":key/*" in section


def test_what_secrets_that_were_not_inspected_need_is_not_known(tmp_path: Path) -> None:
    inspected, other = rotation("prod/orders"), replace(rotation("prod/users"), state=None)
    section = written(report([inspected, other], []), tmp_path).section("prod/orders")
    assert (
        "Compared with what 1 secret of this role in the report needs. What 1 other secret of the role needs is"
        in section
    )


def test_a_section_has_the_tags_of_the_secret(tmp_path: Path) -> None:
    tagged = replace(rotation("prod/orders"), tags={"team": "<shop>", "empty": ""})
    page = written(report([tagged, rotation("prod/users")], []), tmp_path)
    assert "Tags team=<shop> empty= Policy" in Page(page.section("prod/orders")).text.replace(
        "Tagsteam", "Tags team"
    ).replace("=Policy", "= Policy")


def test_a_section_has_the_owner_and_a_finding_what_an_attacker_could_do(tmp_path: Path) -> None:
    orders, users = rotation("prod/orders"), rotation("prod/users")
    owned = replace(orders, owner={"aws:cloudformation:stack-name": "<shop>"})
    page = written(report([owned, users], [finding(FindingType.SHARED_ROLE, owned, scope="role")]), tmp_path)
    assert "aws:cloudformation:stack-name <shop>" in Page(page.section("prod/orders")).text
    assert "Unknown: no tag of the role" in Page(page.section("prod/users")).text
    assert "What an attacker could do with it: Who can run code in one of the functions" in page.text


@pytest.mark.parametrize(
    ("owner", "place"),
    [
        ({"aws:cloudformation:stack-name": "shop"}, "The template of the stack shop."),
        ({"aws:cloudformation:stack-name": "shop", "aws:cdk:path": "Shop/Role"}, "The CDK app that creates the role"),
        (
            {"aws:cloudformation:stack-name": "serverlessrepo-db", "serverlessrepo:applicationId": "app"},
            "An adoption stack (audit --adopt), because the template of the application is not yours.",
        ),
        ({}, "A stack beside the role if Terraform creates it (examples/terraform), otherwise an adoption stack."),
    ],
)
def test_a_section_without_a_policy_says_where_to_declare_it(tmp_path: Path, owner: dict[str, str], place: str) -> None:
    orders = replace(rotation("prod/orders"), owner=owner, policy_name="")
    section = written(report([orders, rotation("prod/users")], []), tmp_path)
    assert f"<dt>Declare it in</dt><dd>{place}" in section.section("prod/orders")
    assert "Declare it in" not in section.section("prod/users")
