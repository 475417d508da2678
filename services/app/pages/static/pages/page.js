/* My Images and My Files, with scripts: drop, paste or choose; watch; copy, show, delete. Without
   them the same page works by its forms. Every word and every piece of markup is in the HTML. */

import { Api, Problem, Transfer } from "./transfer.js";

const SENT_AT_ONCE = 3; // uploads; the others wait, their tickets are not asked for yet
const LOOK_EVERY = 2000; // ms between looks for images that were being checked as the page opened
const SAY_EVERY = 1500; // ms; what a screen reader is told comes together
const SAY_PROGRESS_EVERY = 10_000; // ms
const SHOW_EVERY = 250; // ms between two figures that can be read
const SAID_COPIED = 2000; // ms

const $ = (id) => document.getElementById(id);
const form = $("upload-form");
const chooser = form.querySelector("input[type=file]");
const uploads = $("uploads");
const transfers = $("transfers");
const kind = form.dataset.kind;
const kept = Number(form.dataset.kept);
const language = document.documentElement.lang;
const words = Object.fromEntries(
  [...$("words").content.querySelectorAll("[data-word]")].map((e) => [e.dataset.word, e.textContent]),
);
const api = new Api(form.dataset.api, form.elements.csrfmiddlewaretoken.value, words);

// --- Words ------------------------------------------------------------------------------------

const put = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const percent = (share) =>
  new Intl.NumberFormat(language, { style: "percent" }).format(Math.min(share, 1));

function size(bytes) {
  const names = words.units.split(" ");
  const power = Math.min(Math.floor(Math.log2(bytes || 1) / 10), names.length - 1);
  const digits = { maximumFractionDigits: power ? 1 : 0 };
  return `${new Intl.NumberFormat(language, digits).format(bytes / 1024 ** power)}\u00a0${names[power]}`;
}

function duration(seconds) {
  const parts = [
    ["day", Math.floor(seconds / 86400)],
    ["hour", Math.floor((seconds % 86400) / 3600)],
    ["minute", Math.floor((seconds % 3600) / 60)],
    ["second", Math.floor(seconds % 60)],
  ];
  const first = parts.findIndex(([, count]) => count);
  return (first < 0 ? parts.slice(-1) : parts.slice(first, first + 2))
    .filter(([, count], place) => count || !place)
    .map(([unit, count]) =>
      new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(count),
    )
    .join(" ");
}

const unsaid = [];
let quiet = false;

/** Tell a screen reader, a while after what it was told before. */
function say(sentence) {
  unsaid.push(sentence);
  if (quiet) return;
  quiet = true;
  setTimeout(function speak() {
    $("said").textContent = unsaid.splice(0).join(" ");
    setTimeout(() => (unsaid.length ? speak() : (quiet = false)), SAY_EVERY);
  }, 100);
}

function showProblem(sentence) {
  const notice = fill($("problem").content.cloneNode(true).firstElementChild, { sentence });
  $("messages").replaceChildren(notice);
  notice.scrollIntoView({ block: "nearest" });
}

/** Say what is no problem; a screen reader follows the messages. */
function showNotice(sentence) {
  $("messages").append(fill($("notice").content.cloneNode(true).firstElementChild, { sentence }));
}

// --- What is here -----------------------------------------------------------------------------

/** Fill in a template's element. */
function fill(element, values) {
  const each = (attribute, set) => {
    for (const e of [element, ...element.querySelectorAll(`[data-${attribute}]`)]) {
      if (attribute in e.dataset) set(e, values[e.dataset[attribute]] ?? "");
    }
  };
  each("text", (e, value) => (e.textContent = value));
  each("href", (e, value) => (e.href = value));
  each("picture", (e, value) => Object.assign(e, { src: value, alt: values.title }));
  each("link", (e, value) => (e.dataset.copy = value));
  each("if", (e, value) => (e.hidden = !value));
  return element;
}

function makeCard(upload, askedAt) {
  const template = upload.state === "rejected" ? "not-accepted" : "ready";
  const card = $(template).content.cloneNode(true).firstElementChild;
  fill(card, {
    ...upload,
    title: upload.name || upload.filename,
    size: size(upload.size),
    qr: `${upload.link}/qr.svg`,
  });
  Object.assign(card.dataset, { upload: upload.id, state: upload.state });
  const time = card.querySelector("time");
  if (time) {
    time.dateTime = upload.expires_at;
    card.querySelector(".left progress").max = upload.seconds_left;
    startClock(time, askedAt + upload.seconds_left * 1000);
  }
  return card;
}

function place(card) {
  if (card.dataset.state === "rejected") $("rejected").prepend(card);
  else uploads.prepend(card);
  arrange();
}

const cards = () => [...document.querySelectorAll("[data-upload]")];
const cardOf = (id) => cards().find((card) => card.dataset.upload === id);

/** Show what belongs to a full page, or to an empty one. */
function arrange() {
  const none = !uploads.querySelector("li");
  for (const e of document.querySelectorAll("[data-when]")) {
    const rejected = e.dataset.when === "any" && kind === "image" && $("rejected").childElementCount;
    e.hidden = e.dataset.when === "none" ? !none : none && !rejected;
  }
  transfers.hidden = !transfers.childElementCount;
}

/** Take a row or card off the page. The focus, if it was there, goes to the next one's control. */
function remove(element) {
  const focused = element.contains(document.activeElement);
  const next = element.nextElementSibling ?? element.previousElementSibling;
  element.remove();
  arrange();
  if (!focused) return;
  (next?.querySelector("button:not([hidden]), a.button") ?? $("here-heading")).focus();
}

/** Hold the page against what the server has: another tab, or a fourth image, changed that. */
async function look() {
  const { answer, askedAt } = await api.call("GET");
  const there = new Map(answer.filter((u) => u.kind === kind).map((u) => [u.id, u]));
  const full = answer.filter((u) => u.state === "ready" && u.kind === "image").length >= kept;
  for (const card of cards()) {
    const now = there.get(card.dataset.upload);
    if (now?.state === card.dataset.state) continue;
    if (now && now.state !== "checking") finish(now, askedAt, card);
    else if (!now) {
      if (kind === "image" && card.dataset.state === "ready" && full) {
        showNotice(put(words.made_room, { name: nameOf(card) }));
      }
      remove(card);
    }
  }
}

/** An upload is ready or rejected: its card, in place of what stood for it until then. */
function finish(upload, askedAt, before) {
  const focused = before.contains(document.activeElement);
  const card = makeCard(upload, askedAt);
  if (before.parentElement === uploads && upload.state === "ready") before.replaceWith(card);
  else {
    before.remove();
    place(card);
  }
  arrange();
  if (focused) card.querySelector("button, a.button").focus();
  const name = upload.filename;
  if (upload.state === "ready") say(put(words.ready, { name }));
  else say(put(words.failed, { name, reason: upload.reason }));
}

async function lookAgain() {
  await look().catch(() => {});
  if (uploads.querySelector("[data-state=checking]")) setTimeout(lookAgain, LOOK_EVERY);
}

// --- Time -------------------------------------------------------------------------------------

const ends = new WeakMap(); // ms, by this machine's clock

/** Count down to a moment that is not later than the true end. */
function startClock(time, end) {
  ends.set(time, end);
  tick(time);
}

/** Show whole seconds that are left, and again when there is one less. */
function tick(time) {
  const left = (ends.get(time) - Date.now()) / 1000;
  const card = time.closest("[data-upload]");
  if (left <= 0) {
    // A card that was taken off the page meanwhile has no more to say.
    if (card.isConnected) {
      say(put(words.expired, { name: nameOf(card) }));
      remove(card);
    }
    return;
  }
  time.textContent = put(words.left, { time: duration(Math.floor(left)) });
  const bar = time.parentElement.querySelector("progress");
  if (bar) bar.value = left;
  card.classList.toggle("soon", left < 60);
  setTimeout(() => card.isConnected && tick(time), 1000 * (left % 1) + 1);
}

const nameOf = (card) => card.querySelector("[data-text=filename]").textContent;

// --- Uploading --------------------------------------------------------------------------------

const waiting = [];
let sending = 0;

/** Begin with the files, under the name and for the time that the form says. */
function add(files) {
  const name = (form.elements.name ?? form.elements.description).value;
  const ttl = Number(form.elements.ttl.value);
  const rows = [...files].map((file) => new Row(file, { kind, name, ttl }));
  for (const row of rows) row.start();
  if (!rows.length) return;
  if (kind === "image" && rows.length > kept) {
    const names = rows.slice(-kept).map((row) => row.file.name);
    showNotice(put(words.only_kept, { count: rows.length, names: names.join(", ") }));
  }
  (form.elements.name ?? form.elements.description).value = "";
  rows[0].element.scrollIntoView({ block: "nearest" });
  say(put(words.begun, { name: rows.map((row) => row.file.name).join(", ") }));
}

/** One file on its way, with its row on the page. */
class Row {
  constructor(file, claim) {
    this.file = file;
    this.claim = {
      ...claim,
      filename: file.name,
      size: file.size,
      content_type: file.type || "application/octet-stream",
    };
    const row = $("transfer").content.cloneNode(true).firstElementChild;
    this.element = fill(row, { filename: file.name });
    this.bar = row.querySelector("progress");
    const label = row.querySelector(".name");
    label.id = `transfer-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    this.bar.setAttribute("aria-labelledby", label.id);
    for (const button of row.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this[button.dataset.do]());
    }
    transfers.append(row);
    arrange();
  }

  start() {
    const reason = this.refusal();
    if (reason) return this.fail(new Problem(reason, { again: false }));
    this.show("waiting", words.waiting);
    this.said = this.shown = performance.now();
    waiting.push(this);
    return startNext();
  }

  /** What is wrong with the file that can be told without sending it; "" where nothing is. */
  refusal() {
    if (this.file.isFolder) return words.folder;
    if (!this.file.size) return words.empty;
    if (this.file.size > Number(form.dataset.maxBytes)) return words.large;
    if (kind === "image" && this.file.type && !this.file.type.startsWith("image/")) return words.type;
    return "";
  }

  async run() {
    this.show("sending", words.starting);
    this.transfer = new Transfer(api, this.file, this.claim, {
      onProgress: (progress) => this.progress(progress),
      onCheck: () => {
        this.bar.removeAttribute("value");
        this.show("checking", words.checking);
      },
    });
    try {
      const { answer, askedAt } = await this.transfer.run();
      finish(answer, askedAt, this.element);
      if (kind === "image") await look().catch(() => {});
    } catch (error) {
      if (error instanceof Problem) this.fail(error);
      else if (error.name !== "AbortError") throw error;
    }
  }

  progress({ sent, speed }) {
    const now = performance.now();
    this.bar.value = sent / this.file.size;
    if (now - this.shown < SHOW_EVERY && sent < this.file.size) return;
    this.shown = now;
    const values = { percent: percent(sent / this.file.size), speed: size(speed) };
    const time = duration(Math.ceil((this.file.size - sent) / (speed || 1)));
    this.show("sending", put(words.sending, { ...values, time }));
    if (now - this.said < SAY_PROGRESS_EVERY) return;
    this.said = now;
    say(put(words.progress, { ...values, name: this.file.name }));
  }

  fail(problem) {
    this.transfer?.cancel();
    this.bar.value = 0;
    this.show("failed", problem.message);
    this.button("retry").hidden = !problem.again;
    say(put(words.failed, { name: this.file.name, reason: problem.message }));
  }

  show(state, sentence) {
    const focused = this.element.contains(document.activeElement);
    const changed = this.element.dataset.state !== state;
    this.element.dataset.state = state;
    this.element.querySelector(".status").textContent = sentence;
    if (!changed) return;
    const over = state === "failed";
    this.bar.hidden = over;
    this.button("cancel").hidden = over;
    this.button("dismiss").hidden = !over;
    this.button("retry").hidden = true;
    if (focused) this.button(over ? "dismiss" : "cancel").focus();
  }

  button(what) {
    return this.element.querySelector(`[data-do=${what}]`);
  }

  retry() {
    this.start();
  }

  cancel() {
    const place = waiting.indexOf(this);
    if (place >= 0) waiting.splice(place, 1);
    this.transfer?.cancel();
    say(put(words.cancelled, { name: this.file.name }));
    remove(this.element);
  }

  dismiss() {
    remove(this.element);
  }
}

async function startNext() {
  if (sending >= SENT_AT_ONCE || !waiting.length) return;
  sending += 1;
  await waiting.shift().run().finally(() => (sending -= 1));
  startNext();
}

// --- Where files come from ----------------------------------------------------------------------

chooser.multiple = true;
chooser.addEventListener("change", () => {
  add(chooser.files);
  chooser.value = "";
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  chooser.focus();
});

let ours = false; // whether what is dragged is a picture or a link of this page
const brings = (event) => !ours && event.dataTransfer?.types.includes("Files");
let over = 0; // entered elements that were not left

addEventListener("dragstart", () => (ours = true));
addEventListener("dragend", () => (ours = false));
addEventListener("dragenter", (event) => {
  if (!brings(event)) return;
  over += 1;
  $("veil").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (brings(event)) over -= 1;
  $("veil").hidden = over < 1;
});
addEventListener("dragover", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
});
addEventListener("drop", (event) => {
  over = 0;
  $("veil").hidden = true;
  if (!brings(event)) return;
  event.preventDefault();
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const folders = items.map((item) => item.webkitGetAsEntry?.()?.isDirectory);
  const files = [...event.dataTransfer.files];
  files.forEach((file, n) => (file.isFolder = Boolean(folders[n])));
  add(files);
});
const isBitmap = (file) => file.name === "image.png"; // as browsers call what is no file yet

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  // A text field's paste is nobody else's, and text is text: Excel and Word lay a picture beside it.
  const typing = event.target.closest?.("input:not([type=file]), textarea, [contenteditable]");
  const isText = files.every(isBitmap) && event.clipboardData.getData("text/plain").trim();
  if (!files.length || typing || isText) return;
  event.preventDefault();
  const moment = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
  add(
    files.map((file) => {
      if (!isBitmap(file)) return file;
      return new File([file], `${words.screenshot} ${moment}.png`, { type: file.type });
    }),
  );
});
addEventListener("beforeunload", (event) => {
  if (transfers.querySelector("[data-state=sending], [data-state=waiting]")) event.preventDefault();
});

// --- Buttons ------------------------------------------------------------------------------------

async function copy(button) {
  const text = button.dataset.copy;
  const label = button.firstElementChild;
  label.dataset.label ??= label.textContent;
  try {
    await navigator.clipboard.writeText(text); // only there over HTTPS and on localhost
  } catch {
    return showProblem(words.uncopied);
  }
  label.textContent = words.copied;
  button.classList.add("done");
  say(words.copied);
  return setTimeout(() => {
    label.textContent = label.dataset.label;
    button.classList.remove("done");
  }, SAID_COPIED);
}

function showQr(link) {
  $("qr-image").src = link.href;
  $("qr-link").textContent = link.href.replace(/\/qr\.svg$/, "");
  $("qr-dialog").showModal();
}

async function discard(card) {
  try {
    await api.call("DELETE", `/${card.dataset.upload}`);
  } catch (error) {
    if (error.status !== 404) return showProblem(error.message);
  }
  say(put(words.deleted, { name: nameOf(card) }));
  return remove(card);
}

async function clear() {
  const sent = { method: "POST", body: new URLSearchParams(new FormData($("clear-form"))) };
  try {
    // It answers with a redirect to the page, which is here already.
    const answer = await fetch($("clear-form").action, { ...sent, redirect: "manual" });
    if (answer.type !== "opaqueredirect") throw new Problem(words.broken);
  } catch (error) {
    return showProblem(error instanceof Problem ? error.message : words.offline);
  }
  for (const card of cards()) card.remove();
  arrange();
  say(words.cleared);
  return $("here-heading").focus();
}

addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const qr = event.target.closest("[data-qr]");
  if (!qr) return;
  event.preventDefault();
  showQr(qr);
});
addEventListener("submit", (event) => {
  if (!("delete" in event.target.dataset)) return;
  event.preventDefault();
  discard(event.target.closest("[data-upload]"));
});
$("clear").addEventListener("click", () => {
  $("clear-dialog").returnValue = "";
  $("clear-dialog").showModal();
});
$("clear-dialog").addEventListener("close", () => {
  if ($("clear-dialog").returnValue === "clear") clear();
});

// --- Begin --------------------------------------------------------------------------------------

document.documentElement.classList.add("scripts");
// The seconds that are left were counted after the page was asked for.
const [asked] = performance.getEntriesByType("navigation");
for (const time of uploads.querySelectorAll("time")) {
  const askedAt = performance.timeOrigin + asked.requestStart;
  startClock(time, askedAt + Number(time.dataset.secondsLeft) * 1000);
}
addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  uploads.querySelectorAll("time").forEach(tick); // the machine may have slept
  if (cards().length) look().catch(() => {});
});
if (uploads.querySelector("[data-state=checking]")) lookAgain();
