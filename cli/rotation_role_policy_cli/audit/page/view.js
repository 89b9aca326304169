// The fields, the list and the sections of the page.

const MOST_OPEN = 300;
const MOST_GROUPS = 200;
const element = (id) => document.getElementById(id);
const [count, heading, list, overview] = ["count", "secrets", "list", "groups"].map(element);
const fields = ["severity", "code", "by", "sort", "q"].map(element);
const general = document.querySelector(".general");
const others = [...document.querySelectorAll("article[data-text]")].map((each) => ({
  element: each,
  text: each.dataset.text,
  found: each.dataset.found.split(" "),
}));
let secrets = [];
const byElement = new Map();
let state = stateOf("");
let arranged = arrangementOf(state);

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function plural(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

// --- data ------------------------------------------------------------------------------------------------------------

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// The compressed sections of a page with many secrets: chunks that are decompressed when they are needed.
const compressed = element("sections");
const chunks = compressed ? JSON.parse(compressed.textContent) : [];
const sections = new Map();

async function complete({ number, element: section }) {
  if (!compressed || sections.has(number)) return;
  const perChunk = Number(compressed.dataset.perChunk);
  const chunk = Math.floor(number / perChunk);
  if (typeof chunks[chunk] === "string") chunks[chunk] = inflated(chunks[chunk]);
  const found = (await chunks[chunk])[number % perChunk];
  if (sections.has(number)) return;
  sections.set(number, found);
  section.insertAdjacentHTML("beforeend", found);
}

async function load() {
  const text = element("data").textContent;
  secrets = secretsOf(compressed ? await inflated(text) : JSON.parse(text));
  const elements = list.children;
  for (const secret of secrets) {
    secret.element = elements[secret.number];
    byElement.set(secret.element, secret);
  }
  for (const each of document.querySelectorAll(".scripted")) each.hidden = false;
  readAddress();
  for (const secret of secrets) if (secret.element.open) equip(secret);
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function show() {
  const shown = secrets.filter((secret) => {
    const selected = isSelected(secret, state);
    if (secret.element.hidden === selected) secret.element.hidden = !selected;
    return selected;
  });
  let shownOthers = 0;
  for (const other of others) {
    other.element.hidden = isWithinGroup(state) || !isSelected(other, { ...state, by: "" });
    shownOthers += !other.element.hidden;
  }
  if (general) general.hidden = !shownOthers;
  arrange(shown);
  count.textContent = [`${shown.length.toLocaleString("en")} of ${plural(secrets.length, "secret")}`, ...filters()].join(", ");
  const within = element("within");
  within.hidden = !isWithinGroup(state);
  within.textContent = `Only ${nameOf(state.in, state.by)} ✕`;
  within.ariaLabel = `Show all groups, not only ${nameOf(state.in, state.by)}`;
  element("open").disabled = shown.length > MOST_OPEN;
  element("open").title = shown.length > MOST_OPEN ? `At most ${MOST_OPEN} secrets can be opened at once` : "";
  if ((state.code || state.q) && shown.length <= 10) openAll(true);
}

// The filters in words, so that a printed page has them.
function filters() {
  const chosen = ["severity", "code"].filter((name) => state[name]);
  const words = chosen.map((name) => element(name).selectedOptions[0].textContent);
  if (isWithinGroup(state)) words.push(`${element("by").selectedOptions[0].textContent} ${nameOf(state.in, state.by)}`);
  return state.q ? [...words, `“${state.q}”`] : words;
}

// What the order of the list depends on. Groups have the number of their secrets that are shown.
function arrangementOf({ by, sort, ...rest }) {
  return JSON.stringify([by, sort, by && rest]);
}

// Sort and group the list, and show the table of groups.
function arrange(shown) {
  if (arrangementOf(state) === arranged) return;
  arranged = arrangementOf(state);
  for (const each of list.querySelectorAll(".group")) each.remove();
  overview.hidden = !state.by || state.by === "finding" || isWithinGroup(state);
  if (!state.by) {
    list.append(...sorted(secrets, state.sort).map((secret) => secret.element));
    return;
  }
  const groups = groupsOf(shown, state.by);
  const parts = groups.flatMap((group) => [
    make("h3", { className: "group" }, `${titleOf(group.key)} `, make("span", { className: "muted" }, plural(group.secrets.length, "secret"))),
    ...sorted(group.secrets, state.sort).map((secret) => secret.element),
  ]);
  // Those that are not shown stay in front, so that they are not lost.
  list.append(...parts);
  if (!overview.hidden) overview.replaceChildren(...tableOf(groups));
}

function titleOf(key) {
  if (state.by !== "finding") return nameOf(key, state.by);
  return [...element("code").options].find((option) => option.value === key)?.textContent ?? nameOf(NO_NAME, "finding");
}

function tableOf(groups) {
  const title = element("by").selectedOptions[0].textContent;
  const headings = [title, "Secrets", "Errors", "Warnings", "Notes", "Sound"];
  const head = headings.map((text, number) => make("th", { scope: "col", className: number ? "number" : "" }, text));
  const rows = groups.slice(0, MOST_GROUPS).map((group) => {
    const name = nameOf(group.key, state.by);
    const to = (severity, number, noun) => {
      const href = fragmentOf({ ...state, in: group.key, severity: severity || state.severity });
      const label = `${name}: ${plural(number, "secret")} ${noun}`;
      const text = number.toLocaleString("en");
      // With a filter for a severity or a finding, another severity would lead to other secrets.
      const isLink = number && (!severity || !(state.severity || state.code));
      const cell = make("td", { className: "number" }, isLink ? make("a", { href, ariaLabel: label }, text) : text);
      cell.dataset.name = headings[["", ...SEVERITIES].indexOf(severity) + 1];
      return cell;
    };
    const { error, warning, note, none } = group.numbers;
    return make(
      "tr",
      {},
      make("th", { scope: "row", title: group.key }, name),
      to("", group.secrets.length, ""),
      to("error", error, "with errors"),
      to("warning", warning, "with warnings"),
      to("note", note, "with notes"),
      to("none", none, "without errors and warnings"),
    );
  });
  const more = groups.length - rows.length;
  const table = make("table", { className: "groups" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  const words = `The numbers are secrets with a finding of this severity. Sound are those without errors and warnings.${more > 0 ? ` ${plural(more, "more group")} below.` : ""}`;
  return [make("div", { className: "panel" }, table), make("p", { className: "small muted" }, words)];
}

// --- the address and the fields --------------------------------------------------------------------------------------

function readAddress() {
  state = stateOf(location.hash);
  // A link of an earlier report can be to a finding that is corrected now.
  const code = element("code");
  const isKnown = !state.code || [...code.options].some((option) => option.value === state.code);
  if (!isKnown) code.append(new Option(`${state.code} (not in this report)`, state.code));
  for (const field of fields) {
    field.value = state[field.id];
    if (field.selectedIndex < 0) field.selectedIndex = 0;
    state[field.id] = field.value;
  }
  show();
}

function writeAddress() {
  history.replaceState(null, "", fragmentOf(state));
  show();
}

function openAll(open) {
  for (const { element: section } of secrets) if (!section.hidden) section.open = open;
}

for (const field of fields) {
  field.addEventListener("input", () => {
    state[field.id] = field.value;
    if (field.id === "by") state.in = "";
    writeAddress();
  });
}
element("clear").addEventListener("click", () => {
  for (const field of fields) field.value = "";
  state = stateOf("");
  writeAddress();
});
element("within").addEventListener("click", () => {
  state.in = "";
  writeAddress();
  element("by").focus();
});
element("open").addEventListener("click", () => openAll(true));
element("close").addEventListener("click", () => openAll(false));
// Only the links of the page and the Back button cause this event. A link to the address that is shown causes none.
addEventListener("hashchange", showAddress);
document.addEventListener("click", ({ target }) => {
  if (target.closest("a")?.getAttribute("href") === location.hash) showAddress();
});

function showAddress() {
  readAddress();
  const place = general && !general.hidden ? general : overview.hidden ? heading : overview;
  // The link can be gone, and the next Tab should lead to what it has shown.
  place.focus({ preventScroll: true });
  place.scrollIntoView();
}

// --- an open section -------------------------------------------------------------------------------------------------

// The links and the buttons come with the opening: a page has thousands of sections.
async function equip(secret) {
  await complete(secret);
  const section = secret.element;
  const facts = section.querySelector(".facts");
  if (!facts || facts.dataset.equipped) return;
  facts.dataset.equipped = "yes";
  const arns = [...section.querySelectorAll(".facts .arn")].map((each) => each.textContent);
  const pages = arns.flatMap((arn) => Object.entries(consolePages(arn)));
  const link = ([name, href]) => make("a", { href, target: "_blank", rel: "noopener noreferrer" }, name);
  addRow(facts, "Console", pages.map(link));
  equipCommands(section);
  if (!navigator.clipboard) return;
  const names = ["Secret", "Function", "Role"];
  const sources = section.querySelectorAll(".facts .arn");
  addRow(facts, "Copy the ARN", arns.map((_, number) => copyButton(names[number], `${names[number]}: copy its ARN`, sources[number])));
}

function addRow(facts, name, elements) {
  if (!elements.length) return;
  facts.append(make("dt", { className: "on-screen" }, name), make("dd", { className: "on-screen tools" }, ...elements));
}

function copyButton(name, label, source) {
  const button = make("button", { type: "button", ariaLabel: label }, name);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = `${name}: copied`;
    } catch {
      // The browser does not allow it. Then the reader can.
      getSelection().selectAllChildren(source);
      button.textContent = `${name}: selected, press Ctrl+C`;
    }
  });
  return button;
}

function equipCommands(container) {
  if (!navigator.clipboard) return;
  for (const command of container.querySelectorAll(".command")) {
    const button = copyButton("Copy", `Copy the command ${command.textContent}`, command);
    button.className = "on-screen";
    command.after(button);
  }
}

// The event does not bubble.
document.addEventListener("toggle", ({ target }) => target.open && equip(byElement.get(target)), true);

// A closed section prints only its first line. Compressed sections print only if they are open: there is no time to
// decompress them.
let opened = [];
addEventListener("beforeprint", () => {
  const isFiltered = Boolean(state.severity || state.code || state.q || isWithinGroup(state));
  const isPrinted = (secret) => isFiltered || !has(secret, "none") || has(secret, "accepted");
  const closed = secrets.filter((secret) => !secret.element.hidden && !secret.element.open && isPrinted(secret));
  opened = compressed ? [] : closed;
  for (const secret of opened) secret.element.open = true;
});
addEventListener("afterprint", () => {
  for (const secret of opened) secret.element.open = false;
});

if (general) equipCommands(general);
load();
