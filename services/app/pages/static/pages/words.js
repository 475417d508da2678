/* What a page says, in the language of its HTML, where every word stands: here they are filled in,
   and told to a screen reader. */

import { $ } from "./markup.js";

const SAY_EVERY = 1500; // ms; sentences for screen readers are collected

const language = document.documentElement.lang;

export const words = Object.fromEntries(
  [...$("words").content.querySelectorAll("[data-word]")].map((e) => [e.dataset.word, e.textContent]),
);

export const put = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
export const percent = (share) =>
  new Intl.NumberFormat(language, { style: "percent" }).format(Math.min(share, 1));

export function size(bytes) {
  const names = words.units.split(" ");
  const power = Math.min(Math.floor(Math.log2(bytes || 1) / 10), names.length - 1);
  const digits = { maximumFractionDigits: power ? 1 : 0 };
  return `${new Intl.NumberFormat(language, digits).format(bytes / 1024 ** power)}\u00a0${names[power]}`;
}

export function duration(seconds) {
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

/** Have a screen reader say this, some time after the last sentence. */
export function say(sentence) {
  unsaid.push(sentence);
  if (quiet) return;
  quiet = true;
  setTimeout(function speak() {
    $("said").textContent = unsaid.splice(0).join(" ");
    setTimeout(() => (unsaid.length ? speak() : (quiet = false)), SAY_EVERY);
  }, 100);
}
