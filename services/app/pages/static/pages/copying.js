/* The buttons that copy a link or a command. */

import { showProblem } from "./markup.js";
import { say, words } from "./words.js";

const SAID_COPIED = 2000; // ms

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

addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
