"""The HTML report of an audit: its content, and that no value becomes HTML. test_report_in_browser.py runs the page."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rotation_role_policy import __version__
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit.page import html_page
from tests.support.audit_report import (
    DANGEROUS,
    account,
    dangerous_report,
    finding,
    full_report,
    large_report,
    report,
    role_arn,
    rotation,
    small_report,
)

OPTIONS = {"--region": ["eu-central-1", "us-east-1"], "--html": f"{DANGEROUS}.html", "--all-regions": True}


class Page(HTMLParser):
    """The page as elements and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

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
    assert (dangerous.all("img"), len(dangerous.all("script"))) == ([], 1)
    assert {name for _, attributes in dangerous.elements for name in attributes if name.startswith("on")} == set()
    # Of a dangerous name in an attribute, no part becomes another attribute.
    assert {frozenset(attributes) - {"open"} for attributes in dangerous.all("details")} == {
        frozenset({"class", "data-found", "data-text"})
    }


def test_the_policy_of_the_secret_is_escaped_too(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    assert secret.state is not None
    [of_state] = secret.state.secrets
    state = replace(secret.state, secrets=(replace(of_state, key_arn="<script>key</script>"),))
    page = written(report([replace(secret, state=state)], []), tmp_path)
    assert "&lt;script&gt;key&lt;/script&gt;" in page.section("prod/orders")
    assert len(page.all("script")) == 1


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
    totals = dict(re.findall(r"<dt>([^<]*)</dt><dd>([\d,]+)</dd></div>", page.html))
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
    rows = re.findall(
        r'<a href="#code=(\w+)">([^<]*)</a>.*?<td class="number">(\d+)</td><td class="number">(\d+)', page.html
    )
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
    general = html[html.index("Findings without a secret") : html.index('<h2 id="secrets">')]
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


def test_a_section_has_the_statements_that_the_secret_needs(tmp_path: Path) -> None:
    section = written(small_report(), tmp_path).section("a/clean")
    rows = {
        re.sub("<span>.*", "", sid): cells
        for sid, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section, re.DOTALL)
    }
    assert list(rows) == [
        "RotateSecret",
        "GeneratePassword",
        "UseSecretKey",
        "ManageNetworkInterfaces",
        "KeepNetworkInterfacesFromCode",
    ]
    assert "<code>this secret</code>" in rows["RotateSecret"]
    assert "kms:Decrypt\nkms:GenerateDataKey" in rows["UseSecretKey"]
    assert "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" in rows["UseSecretKey"]
    assert (
        "kms:EncryptionContext:SecretARN is this secret\n"
        "kms:ViaService is secretsmanager.eu-central-1.amazonaws.com" in rows["UseSecretKey"]
    )
    assert "<strong>Deny</strong>" in rows["KeepNetworkInterfacesFromCode"]
    assert "lambda:SourceFunctionArn is present" in rows["KeepNetworkInterfacesFromCode"]
    assert "Deny" not in rows["ManageNetworkInterfaces"]


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
    secret = rotation("Prod/ORDERS")
    [attributes] = written(
        report([secret], [finding(FindingType.ACTION_NOT_GRANTED, secret, "The Message")]), tmp_path
    ).all("details")
    words = (attributes["data-text"] or "").split()
    for word in ("prod/orders", secret.function_arn, secret.role_arn, "actionnotgranted", "message"):
        assert word in words
    assert "--adopt" not in str(attributes)


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
