"""The HTML report of an audit in Chromium: the filter, the links, and that no value is executed or requested."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit.page import html_page
from tests.support.audit_report import DANGEROUS, dangerous_report, full_report, small_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


class View(NamedTuple):
    """What a reader sees."""

    secrets: list[str]
    """The names of the visible secrets."""
    number: str
    """The text above the secrets."""
    title: str
    general: bool
    """Whether the findings without a secret are visible."""
    console: list[str]
    """Messages of the console. Chromium reports each violation of the Content Security Policy there."""


def opened(path: Path, fragment: str = "") -> View:
    """Open a page and return what is visible after its script has run."""
    profile = path.parent / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    process = subprocess.run(
        [
            str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom",
            f"{path.as_uri()}{fragment}",
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    dom = process.stdout
    secrets = re.findall(r'<details((?:[^>"]|"[^"]*")*)>\s*<summary><h3>(.*?)</h3>', dom)
    general = re.findall(r'<section class="general"([^>]*)>', dom)
    [number] = re.findall(r'<p id="count"[^>]*>([^<]*)', dom)
    [title] = re.findall("<title>(.*?)</title>", dom)
    return View(
        [unescape(name) for attributes, name in secrets if not re.search(r'\shidden=""', attributes)],
        number,
        unescape(title),
        any(not re.search(r'\shidden=""', attributes) for attributes in general),
        [line for line in process.stderr.splitlines() if ":CONSOLE" in line],
    )


def written(report: Report, folder: Path) -> Path:
    path = folder / "report.html"
    with path.open("w", encoding="utf-8") as file:
        html_page.write(report, file, {})
    return path


def with_script(path: Path, script: str) -> Path:
    """Write a copy of the page that runs a script after its own, as a reader would click and type."""
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text("utf-8"))
    copy = path.with_name("copy.html")
    copy.write_text(html.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    return copy


ALL = ["prod/orders", "prod/members", "prod/users", "a/clean", "b/clean"]
FRAGMENTS = {
    "": ALL,
    "#severity=error": ["prod/orders"],
    "#severity=warning": ["prod/members", "prod/users"],
    "#severity=none": ["a/clean", "b/clean"],
    "#code=KmsAllKeys": ["prod/members", "prod/users"],
    "#severity=note&code=NoPolicy": ["prod/orders"],
    # The secret has an error and NoPolicy, but NoPolicy is no error.
    "#severity=error&code=NoPolicy": [],
    "#q=ORDERS": ["prod/orders"],
    "#q=function:rotate-mysql": ["prod/members", "prod/users"],
    "#q=kms:decrypt+on+*": ["prod/members", "prod/users"],
    "#q=clean+b/": ["b/clean"],
    "#q=arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/users-AbCdEf": ["prod/users"],
    "#severity=warning&q=users": ["prod/users"],
    "#q=no%20such%20secret": [],
    "#severity=fatal&code=Unknown": ALL,
}
"""The visible secrets by the fragment of the address."""


@pytest.mark.parametrize("fragment", ["", "#code=KmsAllKeys"])
def test_a_page_is_opened_with_the_filter_of_its_address(tmp_path: Path, fragment: str) -> None:
    secrets = FRAGMENTS[fragment]
    view = opened(written(small_report(), tmp_path), fragment)
    assert (view.secrets, view.number) == (secrets, f"{len(secrets)} of 5 secrets")
    assert view.console == []


def results(report: Report, folder: Path, fragments: Iterable[str], value: str) -> list[Any]:
    """Return the value of an expression of JavaScript for each fragment of the address, from one start of Chromium."""
    script = f"""
document.title = JSON.stringify({json.dumps(list(fragments))}.map((fragment) => {{
  history.replaceState(null, "", fragment || "#");
  readAddress();
  return {value};
}}));
"""
    return list(json.loads(opened(with_script(written(report, folder), script)).title))


def test_the_fragment_of_the_address_selects_the_secrets(tmp_path: Path) -> None:
    names = "secrets.filter((each) => !each.element.hidden).map((each) => each.element.querySelector('h3').textContent)"
    seen = results(small_report(), tmp_path, FRAGMENTS, f"[{names}, count.textContent]")
    assert seen == [[secrets, f"{len(secrets)} of 5 secrets"] for secrets in FRAGMENTS.values()]


def test_a_search_opens_few_sections(tmp_path: Path) -> None:
    opened_sections = "secrets.filter((each) => each.element.open).length"
    assert results(small_report(), tmp_path, ["#q=users", "#code=KmsAllKeys"], opened_sections) == [2, 3]


@pytest.mark.parametrize(
    ("arn", "pages"),
    [
        (
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b c-AbCdEf",
            {
                "Secret": "https://eu-west-1.console.aws.amazon.com/secretsmanager/secret?name=a%2Fb%20c&region=eu-west-1"
            },
        ),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:rotate:live",
            {
                "Function": "https://us-gov-west-1.console.amazonaws-us-gov.com/lambda/home?region=us-gov-west-1"
                "#/functions/rotate",
                "Log group": "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-west-1"
                "#logsV2:log-groups/log-group/$252Faws$252Flambda$252Frotate",
            },
        ),
        (
            "arn:aws-cn:iam::123456789012:role/service-role/rotate",
            {"Role": "https://console.amazonaws.cn/iam/home#/roles/details/rotate"},
        ),
        # A merged report is untrusted: no other partition, and nothing that is no ARN, becomes an address.
        ("arn:aws-iso:iam::123456789012:role/rotate", {}),
        ("arn:constructor:iam::123456789012:role/rotate", {}),
        ("arn:aws:lambda:evil.example/:123456789012:function:rotate", {}),
        ("javascript:alert(1)", {}),
    ],
)
def test_an_arn_leads_to_the_pages_of_its_console(tmp_path: Path, arn: str, pages: dict[str, str]) -> None:
    assert results(small_report(), tmp_path, [""], f"consolePages({json.dumps(arn)})") == [pages]


def test_an_open_section_has_links_and_buttons_once(tmp_path: Path) -> None:
    # The page is opened from a file, where the clipboard can be missing.
    links = "[...document.querySelectorAll('details')].map((each) => each.querySelectorAll('.tools a').length)"
    value = f"(openAll(true), secrets.forEach((each) => (equip(each.element), equip(each.element))), {links})"
    assert results(small_report(), tmp_path, [""], value) == [[4, 4, 4, 4, 4]]


def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    # In a frame, because a window cannot be as narrow on every system.
    script = """
if (top === self) {
  const phone = document.createElement("iframe");
  Object.assign(phone, { width: 390, height: 844, srcdoc: document.documentElement.outerHTML });
  phone.addEventListener("load", () => {
    const page = phone.contentDocument;
    for (const each of page.querySelectorAll("details")) each.open = true;
    const right = [...page.body.querySelectorAll("*")].map((each) => each.getBoundingClientRect().right);
    document.title = JSON.stringify([right.length > 100, right.filter((each) => each > 390)]);
    phone.remove();
  });
  document.body.append(phone);
}
"""
    view = opened(with_script(written(full_report(), tmp_path), script))
    assert json.loads(view.title) == [True, []]


def test_findings_without_a_secret_are_filtered_too(tmp_path: Path) -> None:
    fragments = ["", "#code=NotInspected", "#severity=error"]
    assert results(full_report(), tmp_path, fragments, "general.hidden") == [False, False, True]


def test_a_link_filters_and_sets_the_address(tmp_path: Path) -> None:
    script = """
document.querySelector('a[href="#code=KmsAllKeys"]').click();
setTimeout(() => { document.title = location.hash; }, 100);
"""
    view = opened(with_script(written(small_report(), tmp_path), script), "#q=users")
    assert (len(view.secrets), view.title, view.console) == (2, "#code=KmsAllKeys", [])


def test_the_fields_filter_and_set_the_address(tmp_path: Path) -> None:
    script = """
const seen = [];
const note = () => seen.push([secrets.filter((each) => !each.element.hidden).length, location.hash]);
const type = (field, value) => { field.value = value; field.dispatchEvent(new Event("input")); note(); };
type(search, "users");
type(severity, "error");
type(search, "a b+c&d");
document.getElementById("clear").click();
note();
document.title = JSON.stringify(seen);
"""
    view = opened(with_script(written(small_report(), tmp_path), script))
    assert json.loads(view.title) == [
        [1, "#q=users"],
        [0, "#severity=error&q=users"],
        [0, "#severity=error&q=a+b%2Bc%26d"],
        [5, ""],
    ]


def test_a_printed_report_has_the_findings_of_closed_sections(tmp_path: Path) -> None:
    script = """
const open = () => secrets.filter(({ element }) => element.open).map(({ element }) => element.dataset.found);
openAll(false);
dispatchEvent(new Event("beforeprint"));
const printed = open();
dispatchEvent(new Event("afterprint"));
document.title = `${printed.join()} then ${open().length}`;
"""
    view = opened(with_script(written(small_report(), tmp_path), script))
    found = "error:ActionNotGranted note:NoPolicy,warning:KmsAllKeys,warning:KmsAllKeys"
    assert (view.title, view.console) == (f"{found} then 0", [])


def test_dangerous_values_are_text_and_are_neither_executed_nor_requested(tmp_path: Path) -> None:
    view = opened(written(dangerous_report(), tmp_path))
    assert (view.secrets, view.title) == ([DANGEROUS], "Audit of rotations in account 123456789012")
    assert view.console == []


def test_the_content_security_policy_blocks_what_escaping_would_miss(tmp_path: Path) -> None:
    path = written(small_report(), tmp_path)
    path.write_text(path.read_text("utf-8").replace("<main>", f"<main>{DANGEROUS}"), "utf-8")
    view = opened(path)
    assert view.title == "Audit of rotations in account 123456789012"
    blocked = " ".join(view.console)
    assert "inline script" in blocked
    assert "https://example.com/x" in blocked
