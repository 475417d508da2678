/* The cards: one for each upload, made of the page's templates, held against what the server has. */

import { startClock } from "./clock.js";
import { $, fill, showNotice } from "./markup.js";
import { Api } from "./transfer.js";
import { put, say, size, words } from "./words.js";

const LOOK_EVERY = 2000; // ms between looks for images that were being checked as the page opened

export const form = $("upload-form");
export const uploads = $("uploads");
export const transfers = $("transfers");
export const kind = form.dataset.kind;
export const kept = Number(form.dataset.kept);
export const api = new Api(form.dataset.api, form.elements.csrfmiddlewaretoken.value, words);

function makeCard(upload, askedAt) {
  const template = upload.state === "rejected" ? "not-accepted" : "ready";
  const card = $(template).content.cloneNode(true).firstElementChild;
  fill(card, {
    ...upload,
    title: upload.name || upload.filename,
    size: size(upload.size),
    qr: `${upload.link}.svg`,
    address: `${upload.link}/${encodeURIComponent(upload.filename)}`,
  });
  Object.assign(card.dataset, { upload: upload.id, state: upload.state });
  const time = card.querySelector("time");
  if (time) {
    time.dateTime = upload.expires_at;
    time.dataset.life = upload.link_id;
    card.querySelector(".left progress").max = upload.seconds_left;
    countDown(time, askedAt + upload.seconds_left * 1000);
  }
  return card;
}

function place(card) {
  if (card.dataset.state === "rejected") $("rejected").prepend(card);
  else uploads.prepend(card);
  arrange();
}

export const cards = () => [...document.querySelectorAll("[data-upload]")];

/** Show what belongs to a full page, or to an empty one. */
export function arrange() {
  const none = !uploads.querySelector("li");
  for (const e of document.querySelectorAll("[data-when]")) {
    const rejected = e.dataset.when === "any" && kind === "image" && $("rejected").childElementCount;
    e.hidden = e.dataset.when === "none" ? !none : none && !rejected;
  }
  transfers.hidden = !transfers.childElementCount;
}

/** Take a row or card off the page. The focus, if it was there, goes to the next one's control. */
export function remove(element) {
  const focused = element.contains(document.activeElement);
  const next = element.nextElementSibling ?? element.previousElementSibling;
  element.remove();
  arrange();
  if (!focused) return;
  (next?.querySelector("button:not([hidden]), a.button") ?? $("here-heading")).focus();
}

/** Hold the page against what the server has: another tab, or a fourth image, changed that. */
export async function look() {
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
export function finish(upload, askedAt, before) {
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

export async function lookAgain() {
  await look().catch(() => {});
  if (uploads.querySelector("[data-state=checking]")) setTimeout(lookAgain, LOOK_EVERY);
}

/** Count a card's time down; it goes when that is over. */
export function countDown(time, end) {
  startClock(time, end, () => {
    const card = time.closest("[data-upload]");
    say(put(words.expired, { name: nameOf(card) }));
    remove(card);
  });
}

export const nameOf = (card) => card.querySelector("[data-text=filename]").textContent;
