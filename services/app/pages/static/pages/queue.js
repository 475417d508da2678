/* The queue of uploads: a row for each file, three of which are sent at a time. */

import { api, arrange, finish, form, kept, kind, look, remove, transfers } from "./cards.js";
import { clone, fill, showNotice } from "./markup.js";
import { Problem, Transfer } from "./transfer.js";
import { duration, percent, put, say, size, words } from "./words.js";

const SENT_AT_ONCE = 3; // uploads; the others wait, without a ticket yet
const SAY_PROGRESS_EVERY = 10_000; // ms
const SHOW_EVERY = 250; // ms between two updates of the figures

const waiting = [];
let sending = 0;

/** Where files go that were given together: the link that is there, or one that they make. */
class Batch {
  constructor(id, wanted, several) {
    Object.assign(this, { id, wanted, several });
  }

  /** Its id, which is asked for once, by the first of them. */
  async link(signal) {
    if (!this.id) {
      const { answer } = await api.call("POST", "/links", { body: this.wanted, signal });
      this.id = answer.id;
    }
    return this.id;
  }
}

/** Begin with the files, under the name and for the time that the form says; `link`: the id of the
    one that they join. */
export function add(files, link = form.elements.link?.value) {
  const called = form.elements.name ?? form.elements.description;
  const wanted = { name: called?.value ?? "" };
  if (form.elements.ttl) wanted.ttl = Number(form.elements.ttl.value);
  const { password, max_downloads: most } = form.elements;
  if (password?.value) wanted.password = password.value;
  if (most?.value) wanted.max_downloads = Number(most.value);
  const batch = kind === "file" ? new Batch(link, wanted, files.length > 1) : null;
  const claim = batch ? { kind } : { kind, ...wanted };
  const rows = [...files].map((file) => new Row(file, claim, batch));
  for (const row of rows) row.start();
  if (!rows.length) return;
  if (kind === "image" && rows.length > kept) {
    const names = rows.slice(-kept).map((row) => row.file.name);
    showNotice(put(words.only_kept, { count: rows.length, names: names.join(", ") }));
  }
  if (called && !link) called.value = "";
  if (password) password.value = most.value = ""; // each link is protected as its sender says
  rows[0].element.scrollIntoView({ block: "nearest" });
  say(put(words.begun, { name: rows.map((row) => row.file.name).join(", ") }));
}

/** One file in the queue, with its row on the page. */
class Row {
  constructor(file, claim, batch) {
    this.file = file;
    this.batch = batch;
    this.claim = {
      ...claim,
      filename: file.name,
      size: file.size,
      content_type: file.type || "application/octet-stream",
    };
    if (file.folder) this.claim.folder = file.folder;
    const row = clone("transfer");
    this.element = fill(row, { filename: file.folder ? `${file.folder}/${file.name}` : file.name });
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

  /** The reason to refuse the file before it is sent; "" if there is none. */
  refusal() {
    if (this.file.isFolder) return words.folder;
    if (!this.file.size) return words.empty;
    if (this.file.size > Number(form.dataset.maxBytes)) return words.large;
    if (kind === "image" && this.file.type && !this.file.type.startsWith("image/")) return words.type;
    return "";
  }

  async run() {
    this.show("sending", words.starting);
    this.transfer = new Transfer(api, this.file, this.claim, this.batch, {
      onProgress: (progress) => this.progress(progress),
      onCheck: () => {
        this.bar.removeAttribute("value");
        this.show("checking", words.checking);
      },
      onWait: (sentence) => this.show("sending", sentence),
    });
    try {
      const { answer, askedAt } = await this.transfer.run();
      await finish(answer, askedAt, this.element);
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
