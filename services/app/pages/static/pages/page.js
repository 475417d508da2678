/* My Images and My Files, with scripts: drop, paste or choose; watch; copy, show, delete. Without
   them the same page works by its forms. Every word and every piece of markup is in the HTML. */

import {
  api,
  arrange,
  cards,
  countDown,
  look,
  lookAgain,
  lookAtLink,
  nameOf,
  remove,
  uploads,
} from "./cards.js";
import "./change.js";
import { endOf, tick } from "./clock.js";
import "./copying.js";
import "./dropping.js";
import { follow } from "./follow.js";
import { $, showProblem } from "./markup.js";
import { Problem } from "./transfer.js";
import { put, say, words } from "./words.js";

function showQr(link) {
  $("qr-image").src = link.href;
  $("qr-link").textContent = link.href.replace(/\.svg$/, "");
  $("qr-dialog").showModal();
}

/** Delete an image, a link, or one of a link's files. */
async function discard(element) {
  const { upload, linkId } = element.dataset;
  try {
    await api.call("DELETE", linkId ? `/links/${linkId}` : `/uploads/${upload}`);
  } catch (error) {
    if (error.status !== 404) return showProblem(error.message);
  }
  say(put(words.deleted, { name: nameOf(element) }));
  const card = element.parentElement.closest("[data-link-id]");
  remove(element);
  return card && lookAtLink(card.dataset.linkId).catch(() => {});
}

async function clear() {
  const sent = { method: "POST", body: new URLSearchParams(new FormData($("clear-form"))) };
  try {
    // The answer redirects to this page, which is open already.
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
  const qr = event.target.closest("[data-qr]");
  if (!qr) return;
  event.preventDefault();
  showQr(qr);
});
addEventListener("submit", (event) => {
  if (!("delete" in event.target.dataset)) return;
  event.preventDefault();
  discard(event.target.closest("[data-upload], [data-link-id]"));
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
for (const time of uploads.querySelectorAll("time")) countDown(time, endOf(time));
addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  uploads.querySelectorAll("time").forEach(tick); // the machine may have slept
  if (cards().length) look().catch(() => {});
});
if (uploads.querySelector("[data-state=checking]")) lookAgain();
follow(() => look().catch(() => {}));
