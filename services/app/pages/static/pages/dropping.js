/* Where files come from: chosen, dropped or pasted. */

import { form, transfers } from "./cards.js";
import { $ } from "./markup.js";
import { add } from "./queue.js";
import { words } from "./words.js";

const chooser = form.querySelector("input[type=file]");

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
