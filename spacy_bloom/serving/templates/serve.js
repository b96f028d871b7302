// The page: asks every part of the service by itself, and shows what each finds when it comes.
"use strict";

const form = document.getElementById("form");
const text = document.getElementById("text");
const question = document.getElementById("question");
const said = document.getElementById("said");
const sections = [...document.querySelectorAll("[data-part]")];
const scale = form.dataset.scale.split(" ");
const [dark, light] = form.dataset.inks.split(" ");
const { labels: grounds, others } = JSON.parse(form.dataset.grounds);
const PAUSE = 600; // milliseconds without a key
let running = new AbortController();
let timer = 0;

// Texts are set as text, never as HTML.
function element(name, content = "", attributes = {}) {
  const made = document.createElement(name);
  made.append(content);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function line(content = "", classes = "body") {
  return element("p", content, { class: classes, dir: "auto" });
}

// Python counts characters, JavaScript 16-bit units: offsets are those of Python.
function marked(characters, spans) {
  const shown = line("", "body marked");
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < end) continue; // marks do not stand in each other
    shown.append(characters.slice(end, span.start).join(""));
    const mark = element("mark", characters.slice(span.start, span.end).join(""), { title: span.title || "" });
    mark.style.background = ground(span.label);
    mark.append(element("small", element("bdi", [span.label, span.note].filter(Boolean).join(" "), { dir: "ltr" })));
    shown.append(mark);
    end = span.end;
  }
  shown.append(characters.slice(end).join(""));
  return shown;
}

function ground(label) {
  let sum = 0;
  for (const character of label) sum += character.codePointAt(0);
  return grounds[label] || others[sum % others.length];
}

function bars(cats) {
  const shown = element("div", "", { class: "bars" });
  for (const [label, share] of Object.entries(cats).sort((a, b) => b[1] - a[1]).slice(0, 8)) {
    const bar = element("i");
    bar.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
    shown.append(element("span", label, { dir: "auto" }), element("div", bar), element("span", `${Math.round(100 * share)}%`));
  }
  return shown;
}

function annotation(characters, doc) {
  const shown = [];
  if (doc.ents) {
    shown.push(marked(characters, doc.ents));
    if (!doc.ents.length) shown.push(line("No entities found.", "note"));
  }
  for (const [key, spans] of Object.entries(doc.spans || {})) {
    if (!spans.length || spans.every((span) => /^Q\d+$/.test(span.label))) continue; // answers are shown as such
    shown.push(element("h2", key), marked(characters, spans));
  }
  const tags = doc.tokens.filter((token) => token.pos || token.tag);
  if (tags.length) {
    shown.push(element("h2", "Tags"), marked(characters, tags.map((t) => ({ ...t, label: t.pos || t.tag, title: t.lemma }))));
  }
  if (doc.cats && Object.keys(doc.cats).length) shown.push(element("h2", "Categories"), bars(doc.cats));
  return shown;
}

function signed(score) {
  return score == null ? "" : `${score < 0 ? "" : "+"}${score.toFixed(1)}`;
}

function answers(characters, found) {
  if (!found.length) return [line("Ask a question about the text.", "body quiet")];
  return found.flatMap(({ question: asked, answers: own }) => {
    const best = own.slice(0, 1).map((a) => ({ ...a, label: "ANSWER", note: signed(a.score) }));
    const shown = [line(asked, "asked")];
    return own.length ? [...shown, marked(characters, best)] : [...shown, line("No answer found.", "body quiet")];
  });
}

function continuation(whole, added) {
  if (!/[\p{L}\p{N}]/u.test(added)) return [line("The model ends the text here.", "body quiet")];
  const shown = line(whole);
  shown.append(element("span", added, { class: "new" }));
  return [shown];
}

function mixed(share) {
  const place = Math.min(Math.max(share, 0), 1) * (scale.length - 1);
  const index = Math.min(Math.floor(place), scale.length - 2);
  const [low, high] = [scale[index], scale[index + 1]].map((color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)));
  return low.map((value, i) => Math.round(value + (high[i] - value) * (place - index)));
}

function painted(made, share) {
  const rgb = mixed(share);
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  made.style.background = `rgb(${rgb})`;
  made.style.color = (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) ? dark : light;
  return made;
}

function heat(characters, { tokens, bits_per_byte: mean }) {
  const known = tokens.map((t) => t.bits).filter((bits) => bits != null).sort((a, b) => a - b);
  const top = Math.max(8, Math.ceil((known[Math.ceil(0.95 * known.length) - 1] || 0) / 8) * 8);
  const shown = line("", "body heat");
  let end = 0;
  for (const { start, end: stop, bits } of tokens) {
    shown.append(characters.slice(end, start).join(""));
    const made = element("span", characters.slice(start, stop).join(""));
    made.title = bits == null ? "no surprisal: nothing stands before it" : `${bits.toFixed(2)} bits`;
    shown.append(bits == null ? (made.classList.add("none"), made) : painted(made, bits / top));
    end = stop;
  }
  shown.append(characters.slice(end).join(""));
  const legend = element("div", element("b", "bits"), { class: "legend" });
  for (let i = 0; i <= 4; i++) legend.append(painted(element("span", `${(top * i) / 4}${i === 4 ? "+" : ""}`), i / 4));
  const note = mean == null ? [] : [line(`${mean.toFixed(2)} bits a byte`, "note")];
  return [shown, legend, ...note];
}

function views(result) {
  const characters = [...result.text];
  return [
    ...(result.doc ? annotation(characters, result.doc) : []),
    ...(result.answers ? answers(characters, result.answers) : []),
    ...(result.continuation != null ? continuation(result.text, result.continuation) : []),
    ...(result.surprisal ? heat(characters, result.surprisal) : []),
  ];
}

function body(section) {
  const given = { text: text.value, parts: [section.dataset.part] };
  if (section.dataset.asks === "yes" && question.value.trim()) given.questions = [question.value.trim()];
  return given;
}

async function ask(section, signal) {
  const found = section.querySelector(".found");
  section.setAttribute("aria-busy", "true");
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch("v1/process", { method: "POST", headers, body: JSON.stringify(body(section)), signal });
    const given = await response.json();
    if (!response.ok) throw new Error(typeof given.detail === "string" ? given.detail : `Status ${response.status}`);
    const shown = views(given.results[0]);
    found.replaceChildren(...(shown.length ? shown : [line("Nothing to show.", "body quiet")]));
  } catch (error) {
    if (error.name === "AbortError") return;
    const message = error instanceof TypeError ? "The service does not answer." : error.message;
    found.replaceChildren(line(message, "body problem"));
  }
  section.removeAttribute("aria-busy");
}

function read() {
  clearTimeout(timer);
  running.abort();
  running = new AbortController();
  const given = { text: text.value, ...(question && question.value.trim() ? { questions: [question.value.trim()] } : {}) };
  const quoted = JSON.stringify(given).replaceAll("'", "'\\''");
  document.getElementById("curl").textContent =
    `curl ${new URL("v1/process", location.href)} -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
  if (!text.value.trim()) {
    for (const section of sections) section.querySelector(".found").replaceChildren(line("\u2013", "body quiet"));
    return Promise.resolve();
  }
  history.replaceState(null, "", address());
  return Promise.all(sections.map((section) => ask(section, running.signal)));
}

// After the #, so that a shared text is in no log of any server.
function address() {
  const given = new URLSearchParams({ text: text.value });
  if (question && question.value.trim()) given.set("question", question.value.trim());
  return `#${given}`;
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("text") == null) return;
  text.value = given.get("text");
  if (question) question.value = given.get("question") || "";
}

form.addEventListener("submit", (event) => (event.preventDefault(), read()));
form.addEventListener("input", () => {
  clearTimeout(timer);
  said.textContent = "";
  timer = setTimeout(read, PAUSE);
});
text.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && read());
document.getElementById("share").addEventListener("click", async () => {
  history.replaceState(null, "", address());
  try {
    await navigator.clipboard.writeText(location.href);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "Copy the address above."; // without HTTPS, browsers give no clipboard
  }
});
window.addEventListener("hashchange", () => (fromAddress(), read()));
fromAddress();
read();
