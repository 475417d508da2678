/* The ways to add files: choose, drop or paste them. */

import { form, kind, transfers } from "./cards.js";
import { filesIn } from "./folders.js";
import { $, showNotice } from "./markup.js";
import { add } from "./queue.js";
import { words } from "./words.js";

const chooser = form.querySelector("input[type=file]");
const MOST = Number(form.dataset.linkFiles);
let joined; // the id of the link to which is added what is chosen next

chooser.multiple = true;
chooser.addEventListener("change", () => {
  addAtMost(chooser.files, joined);
  chooser.value = "";
  joined = undefined;
});
chooser.addEventListener("cancel", () => (joined = undefined));
addEventListener("click", (event) => {
  const link = event.target.closest("[data-add]");
  if (!link) return;
  event.preventDefault();
  joined = link.closest("[data-link-id]").dataset.linkId;
  chooser.click();
});

/** Of files, as many as a link holds. */
function addAtMost(files, link) {
  const most = kind === "file" ? MOST : files.length;
  if (files.length > most) showNotice(words.too_many);
  add([...files].slice(0, most), link);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { text } = form.elements;
  if (text?.value.trim()) {
    add([textFile(text.value)]);
    text.value = "";
  } else (event.submitter?.id === "send-text" ? text : chooser).focus();
});

let ours = false; // whether a picture or a link of this page is being dragged
const brings = (event) => !ours && event.dataTransfer?.types.includes("Files");
let over = 0; // elements that the drag has entered and not left

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
  const entries = items.map((item) => item.webkitGetAsEntry?.()); // forgotten after the event
  const files = [...event.dataTransfer.files];
  const folders = entries.map((entry) => Boolean(entry?.isDirectory));
  if (kind === "file" && folders.includes(true)) {
    filesIn(entries, files, MOST + 1).then((found) => addAtMost(found));
    return;
  }
  files.forEach((file, n) => (file.isFolder = folders[n]));
  addAtMost(files);
});
const textFile = (text) => new File([text], "text.txt", { type: "text/plain" });
const isBitmap = (file) => file.name === "image.png"; // the name that browsers give to a copied picture

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  // Pasting into a text field stays there. A text is a text, also where Excel and Word copy a
  // picture with it.
  const typing = event.target.closest?.("input:not([type=file]), textarea, [contenteditable]");
  if (typing || document.querySelector("dialog[open]")) return;
  const text = event.clipboardData.getData("text/plain").replaceAll("\r\n", "\n");
  const isText = files.every(isBitmap) && text.trim();
  if (isText ? kind !== "file" : !files.length) return;
  event.preventDefault();
  if (isText) {
    add([textFile(text)]);
    return;
  }
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
