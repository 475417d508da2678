/* The page that waits for a zip, with scripts: it asks again, shows how far the zip is, and begins
   the download. */

import { $ } from "./markup.js";

document.documentElement.classList.add("scripts");
const box = document.querySelector(".message");
const wait = 1000 * Number(box.dataset.seconds);

async function look() {
  // Once the zip is ready, this redirects to storage; the browser follows that, not the script.
  const headers = { Accept: "text/html" };
  const answer = await fetch(location.href, { headers, redirect: "manual" });
  if (answer.type === "opaqueredirect") return begin();
  if (answer.status !== 503) return location.reload(); // the page then says why
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const far = page.getElementById("far");
  if (far) {
    $("far").textContent = far.textContent;
    document.querySelector("progress").value = page.querySelector("progress").value;
  }
  setTimeout(ask, wait);
}

/** Ask again, also if no answer came. */
function ask() {
  look().catch(() => setTimeout(ask, 2 * wait));
}

function begin() {
  document.querySelector("progress").value = 100;
  $("far").textContent = $("begun").content.textContent;
  document.querySelector(".message .scripted").remove();
  location.assign(location.href);
}

setTimeout(ask, wait);
