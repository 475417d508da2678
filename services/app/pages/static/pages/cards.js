/* The cards: one for each image or link, made from the page's templates and compared with the
   server's list. */

import { startClock } from "./clock.js";
import { makeLinkCard, updateLinkCard } from "./linkcards.js";
import { $, clone, fill, showNotice } from "./markup.js";
import { Api } from "./transfer.js";
import { put, say, words } from "./words.js";

const LOOK_EVERY = 2000; // ms between looks for images that were being checked as the page opened

export const form = $("upload-form");
export const uploads = $("uploads");
export const transfers = $("transfers");
export const kind = form.dataset.kind;
export const kept = Number(form.dataset.kept);
export const api = new Api(form.dataset.api, form.elements.csrfmiddlewaretoken.value, words);

function makeCard(upload, askedAt) {
  const template = upload.state === "rejected" ? "not-accepted" : "ready";
  const card = clone(template);
  fill(card, {
    ...upload,
    title: upload.name || upload.filename,
    qr: `${upload.link}.svg`,
    change: `/links/${upload.link_id}/`,
  });
  Object.assign(card.dataset, { upload: upload.id, state: upload.state });
  setTime(card, upload, upload.link_id, askedAt);
  return card;
}

/** Count down what the server says is left of an upload or a link, where its card shows it. */
function setTime(card, { expires_at, seconds_left }, linkId, askedAt) {
  const time = card.querySelector("time");
  if (!time || Date.parse(time.dateTime) === Date.parse(expires_at)) return;
  time.dateTime = expires_at;
  time.dataset.life = linkId;
  card.querySelector(".left progress").max = seconds_left;
  countDown(time, askedAt + seconds_left * 1000);
}

function place(card) {
  if (card.dataset.state === "rejected") $("rejected").prepend(card);
  else uploads.prepend(card);
  arrange();
}

const CARDS = kind === "file" ? "[data-link-id]" : "[data-upload]";

export const cards = () => [...document.querySelectorAll(CARDS)];

/** Show the elements for a page with cards, or those for an empty one. */
export function arrange() {
  const none = !uploads.querySelector("li");
  for (const e of document.querySelectorAll("[data-when]")) {
    const rejected = e.dataset.when === "any" && kind === "image" && $("rejected").childElementCount;
    e.hidden = e.dataset.when === "none" ? !none : none && !rejected;
  }
  transfers.hidden = !transfers.childElementCount;
}

/** Remove a row or card. If it had the focus, the next one's button gets it. */
export function remove(element) {
  const focused = element.contains(document.activeElement);
  const next = element.nextElementSibling ?? element.previousElementSibling;
  element.remove();
  arrange();
  if (!focused) return;
  (next?.querySelector("button:not([hidden]), a.button") ?? $("here-heading")).focus();
}

/** Compare the page with the server's list, which another tab or a fourth image may have changed. */
export async function look() {
  if (kind === "file") return lookAtLinks();
  const { answer, askedAt } = await api.call("GET", "/uploads");
  const there = new Map(answer.filter((u) => u.kind === kind).map((u) => [u.id, u]));
  const full = answer.filter((u) => u.state === "ready" && u.kind === "image").length >= kept;
  for (const card of cards()) {
    const now = there.get(card.dataset.upload);
    if (now?.state === card.dataset.state) continue;
    if (now && now.state !== "checking") finish(now, askedAt, card);
    else if (!now) {
      if (card.dataset.state === "ready" && full) {
        showNotice(put(words.made_room, { name: nameOf(card) }));
      }
      remove(card);
    }
  }
}

let lastLook = Promise.resolve(); // at links: each waits for the one before, so the newest counts

function inTurn(call) {
  lastLook = lastLook.catch(() => {}).then(call);
  return lastLook;
}

const lookAtLinks = () =>
  inTurn(async () => {
    const { answer, askedAt } = await api.call("GET", "/links");
    const there = new Map(answer.map((link) => [link.id, link]));
    for (const card of cards()) {
      const link = there.get(card.dataset.linkId);
      if (link) show(link, askedAt, card);
      else remove(card);
    }
  });

/** Hold a link's card against what the server has; make it, or take it off the page. */
export const lookAtLink = (id) =>
  inTurn(async () => {
    const found = await api.call("GET", `/links/${id}`).catch((error) => {
      if (error.status !== 404) throw error;
    });
    const card = cards().find((one) => one.dataset.linkId === id);
    if (found?.answer.uploads.length) return show(found.answer, found.askedAt, card);
    if (card) remove(card);
    return null;
  });

/** A link's card as the server has it; a new one where there is none yet. */
function show(link, askedAt, before) {
  const card = before ?? makeLinkCard();
  updateLinkCard(card, link);
  setTime(card, link, link.id, askedAt);
  if (!before) place(card);
  return card;
}

/** Put the card of a ready or rejected upload in place of its row or its former card. */
export async function finish(upload, askedAt, before) {
  if (kind === "file") {
    const shown = await lookAtLink(upload.link_id);
    const held = before.contains(document.activeElement);
    before.remove();
    arrange();
    if (held) (shown?.querySelector("button") ?? $("here-heading")).focus();
    say(put(words.ready, { name: upload.filename }));
    return;
  }
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

/** Count a card's time down, and remove the card at the end. */
export function countDown(time, end) {
  startClock(time, end, () => {
    const card = time.closest(CARDS);
    say(put(words.expired, { name: nameOf(card) }));
    remove(card);
  });
}

export const nameOf = (element) => element.querySelector("[data-text=filename]").textContent;
