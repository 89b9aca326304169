"""The HTML report of an audit in Chromium: the filter, the links, and that no value is executed or requested."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit.page import html_page
from tests.support.audit_report import (
    DANGEROUS,
    dangerous_report,
    finding,
    full_report,
    large_report,
    report,
    rotation,
    small_report,
)

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
    "": (ALL, "5 of 5 secrets"),
    "#code=KmsAllKeys&q=users": (["prod/users"], "1 of 5 secrets, The role can use other keys, \u201cusers\u201d"),
    "#severity=fatal&by=nothing&sort=size": (ALL, "5 of 5 secrets"),
    # A link from an earlier page, to what is corrected now.
    "#code=SharedRole": ([], "0 of 5 secrets, SharedRole (not in this report)"),
}
"""The visible secrets and the text above them, by the fragment of the address."""


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_page_is_opened_with_the_filter_of_its_address(tmp_path: Path, fragment: str) -> None:
    view = opened(written(small_report(), tmp_path), fragment)
    assert (view.secrets, view.number) == FRAGMENTS[fragment]
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


def test_a_search_opens_few_sections(tmp_path: Path) -> None:
    opened_sections = "secrets.filter((each) => each.element.open).length"
    assert results(small_report(), tmp_path, ["#q=users", "#code=KmsAllKeys"], opened_sections) == [2, 3]


def later(script: str, milliseconds: int = 300) -> str:
    """Return a script that runs after what a click or an opening has started."""
    return f"setTimeout(async () => {{ {script} }}, {milliseconds});"


def test_an_open_section_has_links_and_buttons_once(tmp_path: Path) -> None:
    # The page is opened from a file, where the clipboard can be missing.
    count_links = later("""
const sections = [...document.querySelectorAll("details")];
for (const secret of secrets) await equip(secret);
document.title = JSON.stringify(sections.map((each) => each.querySelectorAll(".tools a").length));
""")
    view = opened(with_script(written(small_report(), tmp_path), f"openAll(true);{count_links}"))
    assert json.loads(view.title) == [4, 4, 4, 4, 4]


CLIPBOARD = """
const copied = [];
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => copied.push(text) } });
"""


def test_commands_and_arns_are_copied_as_they_are(tmp_path: Path) -> None:
    secret = rotation("prod/orders")
    command = "aws iam get-role-policy --role-name 'a:b' --policy-name c,d > COPY.json"
    words = Words("Too much.", f"Keep a copy ({command}).", (command,))
    page = written(report([secret], [replace(finding(FindingType.KMS_ALL_KEYS, secret), words=words)]), tmp_path)
    click = "for (const each of document.querySelectorAll('details button')) each.click();"
    title = later("document.title = JSON.stringify(copied)", 600)
    view = opened(with_script(page, f"{CLIPBOARD}openAll(true);{later(click)}{title}"))
    assert json.loads(view.title) == [secret.secret_arn, secret.function_arn, secret.role_arn, command]


def test_the_list_is_grouped_and_a_number_leads_to_the_secrets_of_a_group(tmp_path: Path) -> None:
    script = """
const seen = [];
const titled = (each) => each.querySelector("h3")?.textContent ?? each.textContent;
const note = () => seen.push([...list.children].filter((each) => !each.hidden).map(titled));
note();
element("by").value = "role";
element("by").dispatchEvent(new Event("input"));
note();
const label = "rotate-mysql-role: 2 secrets with warnings";
[...overview.querySelectorAll("a")].find((each) => each.ariaLabel === label).click();
"""
    after = later("""
note();
const [within, shown] = [element("within").textContent, overview.hidden];
element("within").click();
element("by").value = "";
element("by").dispatchEvent(new Event("input"));
element("severity").value = "";
element("severity").dispatchEvent(new Event("input"));
note();
document.title = JSON.stringify([...seen, within, shown]);
""")
    every = ["prod/orders", "prod/members", "prod/users", "a/clean", "b/clean"]
    view = opened(with_script(written(small_report(), tmp_path), script + after))
    assert json.loads(view.title) == [
        every,
        [
            "rotate-postgres-role 1 secret", "prod/orders", "rotate-mysql-role 2 secrets", "prod/members", "prod/users",
            "tidy-role 2 secrets", "a/clean", "b/clean",
        ],
        ["rotate-mysql-role 2 secrets", "prod/members", "prod/users"],
        every,
        "Only rotate-mysql-role \u2715",
        True,
    ]  # fmt: skip


def test_a_section_of_a_large_page_is_there_when_it_is_opened(tmp_path: Path) -> None:
    title = later("""
const section = document.querySelectorAll("details")[250];
section.open = true;
setTimeout(() => { document.title = section.querySelector(".facts .arn").textContent; }, 500);
""")
    view = opened(with_script(written(large_report(301, 0), tmp_path), title))
    assert (view.title, view.console) == (large_report(301, 0).rotations[250].secret_arn, [])


def test_a_page_of_ten_thousand_secrets_is_opened_and_filtered_in_a_second(tmp_path: Path) -> None:
    path = written(large_report(10_000, 10_000), tmp_path)
    assert path.stat().st_size < 8_000_000
    script = """
const wait = () => {
  if (!secrets.length) return setTimeout(wait, 10);
  element("q").value = "prod/00077";
  element("q").dispatchEvent(new Event("input"));
  document.title = `${count.textContent}, ${document.body.offsetHeight > 0}`;
};
wait();
"""
    empty, large = tmp_path / "empty.html", with_script(path, script)
    empty.write_text('<title>x</title><p id="count"></p>')
    # The start of Chromium itself takes as long, and the machine can be busy.
    seconds = [duration(large) - duration(empty) for _ in range(3)]
    assert opened(large).title == "1 of 10,000 secrets, \u201cprod/00077\u201d, true"
    assert min(seconds) < 1


def duration(path: Path) -> float:
    """Return how long Chromium takes to start, to open a page and to run its script, in seconds."""
    begin = time.monotonic()
    opened(path)
    return time.monotonic() - begin


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
const type = (name, value) => {
  element(name).value = value;
  element(name).dispatchEvent(new Event("input"));
  note();
};
type("q", "users");
type("severity", "error");
type("q", "a b+c&d");
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
const open = () => secrets.filter((secret) => secret.element.open).map((secret) => secret.found.join(" "));
openAll(false);
dispatchEvent(new Event("beforeprint"));
const printed = open();
dispatchEvent(new Event("afterprint"));
document.title = `${printed.join()} then ${open().length}`;
"""
    view = opened(with_script(written(small_report(), tmp_path), script))
    found = "error:ActionNotGranted note:NoPolicy,warning:KmsAllKeys,warning:KmsAllKeys"
    assert (view.title, view.console) == (f"{found} then 0", [])


def test_a_printed_report_has_what_its_filter_asks_for(tmp_path: Path) -> None:
    script = """
openAll(false);
dispatchEvent(new Event("beforeprint"));
document.title = secrets.filter(({ element: each }) => each.open && !each.hidden).map((each) => each.name).join();
"""
    view = opened(with_script(written(small_report(), tmp_path), script), "#severity=none")
    assert view.title == "a/clean,b/clean"


def test_with_a_filter_for_a_finding_a_number_leads_to_the_secrets_that_it_counts(tmp_path: Path) -> None:
    script = """
const cells = [...overview.querySelectorAll("td")];
document.title = JSON.stringify(cells.map((cell) => [cell.dataset.name, cell.textContent, cell.children.length > 0]));
"""
    page = with_script(written(small_report(), tmp_path), script)
    columns = ("Errors", "Warnings", "Notes", "Sound")
    numbers = ("0", "2", "0", "0")
    plain = [[name, number, False] for name, number in zip(columns, numbers, strict=True)]
    linked = [[name, number, number != "0"] for name, number in zip(columns, numbers, strict=True)]
    assert json.loads(opened(page, "#by=role&code=KmsAllKeys").title) == [["Secrets", "2", True], *plain]
    assert json.loads(opened(page, "#by=role&q=mysql").title) == [["Secrets", "2", True], *linked]


def test_a_link_to_the_address_that_is_shown_leads_there_again(tmp_path: Path) -> None:
    script = """
const link = document.querySelector('a[href="#severity=error"]');
link.click();
setTimeout(() => { document.body.tabIndex = -1; document.body.focus(); link.click(); }, 200);
setTimeout(() => { document.title = document.activeElement.id; }, 400);
"""
    assert opened(with_script(written(small_report(), tmp_path), script)).title == "secrets"


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
