"use strict";
// The state of the filter is in the fragment of the address, so that a filtered view can be passed on as a link.
const fields = ["severity", "code", "q"].map((name) => document.getElementById(name));
const [severity, code, search] = fields;
const count = document.getElementById("count");
const heading = document.getElementById("secrets");
const general = document.querySelector(".general");
const secrets = [...document.querySelectorAll("details[data-text]")].map(entry);
const others = [...document.querySelectorAll("article[data-text]")].map(entry);

function entry(element) {
  return { element, text: element.dataset.text, found: element.dataset.found.split(" ") };
}

// Hide the entries that do not match and return the number of the others.
function filter(entries) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { element, text, found } of entries) {
    const matches =
      words.every((word) => text.includes(word)) &&
      found.some((each) => each.startsWith(severity.value) && (!code.value || each.endsWith(`:${code.value}`)));
    if (element.hidden === matches) element.hidden = !matches;
    if (matches) shown += 1;
  }
  return shown;
}

function show() {
  const shown = filter(secrets);
  if (general) general.hidden = !filter(others);
  const number = (value) => value.toLocaleString("en");
  count.textContent = `${number(shown)} of ${number(secrets.length)} secrets`;
  if ((code.value || search.value) && shown <= 10) openAll(true);
}

function readAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) {
    field.value = state.get(field.id) ?? "";
    if (field.selectedIndex < 0) field.selectedIndex = 0;
  }
  show();
}

function writeAddress() {
  const state = new URLSearchParams(fields.filter((field) => field.value).map((field) => [field.id, field.value]));
  history.replaceState(null, "", `#${state}`);
  show();
}

function openAll(open) {
  for (const { element } of secrets) if (!element.hidden) element.open = open;
}

for (const field of fields) field.addEventListener("input", writeAddress);
document.getElementById("clear").addEventListener("click", () => {
  for (const field of fields) field.value = "";
  writeAddress();
});
document.getElementById("open").addEventListener("click", () => openAll(true));
document.getElementById("close").addEventListener("click", () => openAll(false));
// Only the links of the page and the Back button cause this event.
addEventListener("hashchange", () => {
  readAddress();
  (general && !general.hidden ? general : heading).scrollIntoView();
});

// The links to the console and the buttons of a section. A page has thousands of sections, so they come with its opening.
const HOSTS = {
  aws: "console.aws.amazon.com",
  "aws-cn": "console.amazonaws.cn",
  "aws-us-gov": "console.amazonaws-us-gov.com",
};

// The pages of the console about a secret, a function or a role, by their names. None for another ARN or partition.
function consolePages(arn) {
  const parts = /^arn:([a-z-]+):(?:secretsmanager|lambda|iam):([a-z0-9-]*):\d{12}:(secret:|function:|role\/)(.+)$/.exec(arn);
  const host = parts && Object.hasOwn(HOSTS, parts[1]) && HOSTS[parts[1]];
  if (!host) return {};
  const [, , region, kind, rest] = parts;
  const home = (service) => `https://${region}.${host}/${service}/home?region=${region}#`;
  if (kind === "secret:") {
    const name = encodeURIComponent(rest.replace(/-[A-Za-z0-9]{6}$/, ""));
    return { Secret: `https://${region}.${host}/secretsmanager/secret?name=${name}&region=${region}` };
  }
  if (kind === "role/") {
    return { Role: `https://${host}/iam/home#/roles/details/${encodeURIComponent(rest.split("/").pop())}` };
  }
  const name = encodeURIComponent(rest.split(":")[0]);
  // The console encodes the name of a log group twice, with $ in place of %.
  const group = encodeURIComponent(encodeURIComponent(`/aws/lambda/${rest.split(":")[0]}`)).replaceAll("%", "$");
  return {
    Function: `${home("lambda")}/functions/${name}`,
    "Log group": `${home("cloudwatch")}logsV2:log-groups/log-group/${group}`,
  };
}

function link([name, address]) {
  const element = document.createElement("a");
  Object.assign(element, { textContent: name, href: address, target: "_blank", rel: "noopener noreferrer" });
  return element;
}

function copyButton(name, text) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", textContent: name, ariaLabel: `${name}: copy its ARN` });
  element.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    element.textContent = `${name}: copied`;
  });
  return element;
}

function addRow(facts, name, elements) {
  if (!elements.length) return;
  const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name;
  term.className = "on-screen";
  value.className = "on-screen tools";
  value.append(...elements);
  facts.append(term, value);
}

function equip(section) {
  const facts = section.querySelector(".facts");
  if (!facts || facts.dataset.equipped) return;
  facts.dataset.equipped = "yes";
  const arns = [...section.querySelectorAll("summary .arn, .facts .arn")].map((element) => element.textContent);
  addRow(facts, "Console", arns.flatMap((arn) => Object.entries(consolePages(arn)).map(link)));
  if (navigator.clipboard) {
    const names = ["Secret", "Function", "Role"];
    addRow(facts, "Copy the ARN", arns.map((arn, index) => copyButton(names[index], arn)));
  }
}

for (const { element } of secrets) if (element.open) equip(element);
// The event does not bubble.
document.addEventListener("toggle", ({ target }) => target.open && equip(target), true);

// A closed section prints only its first lines.
let opened = [];
addEventListener("beforeprint", () => {
  opened = secrets.map(({ element }) => element).filter((each) => !each.hidden && !each.open);
  opened = opened.filter((each) => each.dataset.found !== "none");
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});

for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
readAddress();
