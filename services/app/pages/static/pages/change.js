/* Change a link: its own page's form, in a dialog. What the server says to it, and the card as it is
   then, come in the page that answers. */

import { countDown } from "./cards.js";
import { endOf } from "./clock.js";
import { $, showProblem } from "./markup.js";
import { words } from "./words.js";

const dialog = $("change-dialog");
let card; // which is changed

/** The page that answers, and when it was asked for; null where none came. */
async function ask(address, options) {
  const askedAt = Date.now();
  try {
    const answer = await fetch(address, options);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { page, askedAt };
  } catch {
    showProblem(words.offline);
    return null;
  }
}

async function open(link) {
  const answer = await ask(link.href);
  if (!answer) return;
  card = link.closest(".card");
  if (show(answer.page)) dialog.showModal();
}

/** Show the form that came; where none did, what came in its place. */
function show(page) {
  const form = page.getElementById("change-form");
  if (!form) {
    dialog.close();
    showProblem(page.querySelector(".lede")?.textContent ?? words.broken);
    return false;
  }
  form.classList.remove("card");
  dialog.replaceChildren(form);
  dialog.querySelector("[role=alert]")?.focus();
  return true;
}

async function save(form) {
  const life = card.querySelector("time").dataset.life;
  const body = new URLSearchParams(new FormData(form));
  const answer = await ask(form.action, { method: "POST", body });
  if (!answer) return dialog.close();
  if (!answer.page.getElementById("uploads")) return show(answer.page);
  dialog.close();
  $("messages").replaceChildren(...answer.page.getElementById("messages").children);
  const time = answer.page.querySelector(`time[data-life="${life}"]`);
  if (!time || !card.isConnected) return;
  const now = time.closest(".card");
  card.replaceWith(now);
  const clock = now.querySelector("time");
  countDown(clock, endOf(clock, answer.askedAt));
  now.querySelector("[data-change]").focus();
}

addEventListener("click", (event) => {
  const link = event.target.closest("[data-change]");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (link && plain) {
    event.preventDefault();
    open(link);
  } else if (event.target.closest("#change-dialog [data-cancel]")) {
    event.preventDefault();
    dialog.close();
  }
});
addEventListener("submit", (event) => {
  if (event.target.id !== "change-form") return;
  event.preventDefault();
  save(event.target);
});
