// What the page knows of its secrets, and what the fields select of them. Nothing here touches the document.

const SEVERITIES = ["error", "warning", "note", "none"];
const FIELDS = ["severity", "code", "by", "in", "sort", "q"];
// The group of the secrets whose owner or role is not known. No name of AWS is like this.
const NO_NAME = " ";

// The secrets of the data (index.py), in the order of the page.
function secretsOf(data) {
  return data.secrets.map(([name, text, last, next, owner, role, func, account, region, found], number) => ({
    number,
    name,
    text,
    last,
    next,
    owner: data.owner[owner],
    role: data.role[role],
    function: data.function[func],
    account: data.account[account],
    region: data.region[region],
    found: data.found[found].split(" "),
  }));
}

// The state of the fields is in the fragment of the address, so that a view can be passed on as a link.
function stateOf(fragment) {
  const parameters = new URLSearchParams(fragment.slice(1));
  return Object.fromEntries(FIELDS.map((name) => [name, parameters.get(name) ?? ""]));
}

function fragmentOf(state) {
  return `#${new URLSearchParams(FIELDS.filter((name) => state[name]).map((name) => [name, state[name]]))}`;
}

// Accepted findings count only if they are asked for.
function has(secret, severity, code = "") {
  return secret.found.some((each) => {
    const isAsked = severity ? each.startsWith(severity) : !each.startsWith("accepted:");
    return isAsked && (!code || each.endsWith(`:${code}`));
  });
}

function isSelected(secret, state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const isWithin = !isWithinGroup(state) || groupOf(secret, state.by) === state.in;
  return isWithin && has(secret, state.severity, state.code) && words.every((word) => secret.text.includes(word));
}

// Whether the state selects one group.
function isWithinGroup(state) {
  return Boolean(state.in) && Boolean(state.by) && state.by !== "finding";
}

// The group of a secret: the value that its secrets share.
function groupOf(secret, by) {
  return (by === "finding" ? worstOf(secret) : secret[by]) || NO_NAME;
}

// The code of the worst finding, which is the first of its severity.
function worstOf(secret) {
  const severity = SEVERITIES.find((each) => has(secret, each));
  return secret.found.find((each) => each.startsWith(severity)).split(":")[1];
}

// The groups, those with the most errors first, with the number of secrets that have findings of each severity.
function groupsOf(secrets, by) {
  const groups = new Map();
  for (const secret of secrets) {
    const key = groupOf(secret, by);
    if (!groups.has(key)) groups.set(key, { key, secrets: [], numbers: {} });
    groups.get(key).secrets.push(secret);
  }
  for (const group of groups.values()) {
    for (const severity of SEVERITIES) {
      group.numbers[severity] = group.secrets.filter((secret) => has(secret, severity)).length;
    }
  }
  const compare = (one, other) =>
    other.numbers.error - one.numbers.error ||
    other.numbers.warning - one.numbers.warning ||
    other.numbers.note - one.numbers.note ||
    other.secrets.length - one.secrets.length ||
    compareTexts(one.key, other.key);
  return [...groups.values()].sort(compare);
}

// So that rotate-2 is before rotate-10.
const compareTexts = new Intl.Collator("en", { numeric: true }).compare;

// What was never done is first, what has no date to come is last.
const ORDERS = {
  "": (one, other) => one.number - other.number,
  name: (one, other) => compareTexts(one.name, other.name),
  last: (one, other) => one.last - other.last,
  next: (one, other) => (one.next || Infinity) - (other.next || Infinity),
};

function sorted(secrets, sort) {
  const compare = ORDERS[Object.hasOwn(ORDERS, sort) ? sort : ""];
  // Infinity - Infinity is not a number.
  return [...secrets].sort((one, other) => compare(one, other) || one.number - other.number);
}

// The name of a group for readers: of an ARN, its end.
function nameOf(key, by) {
  if (key === NO_NAME) return { owner: "No owner known", role: "Role unknown", finding: "No findings" }[by] ?? "Unknown";
  if (by === "function") return key.split(":function:").pop();
  return by === "role" ? key.split("/").pop() : key;
}

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
