/* Clocks: the time left, counted down on the page. */

import { duration, put, words } from "./words.js";

const SOON = 60; // seconds
const EARLY = 1000; // ms by which a known end may be earlier than the true one

const clocks = new WeakMap();

/** Count down to a moment that is not later than the true end, in ms; `over()` is called then. */
export function startClock(time, end, over) {
  clocks.set(time, { end, over });
  tick(time);
}

/** The end that the HTML of a page says, in ms, not later than the true one: the seconds that it
    says are left were counted after the page was asked for, which is this page where not given. */
export function endOf(time, askedAt = askedForPage()) {
  return askedAt + Number(time.dataset.secondsLeft) * 1000;
}

function askedForPage() {
  return performance.timeOrigin + performance.getEntriesByType("navigation")[0].requestStart;
}

/** Count down to another moment, if the true end, which lies in this span, is no longer the known
    one. */
export function moveClock(time, earliest, latest) {
  const clock = clocks.get(time);
  if (!clock || (clock.end > earliest - EARLY && clock.end <= latest)) return;
  clock.end = earliest;
  const bar = time.parentElement.querySelector("progress");
  if (bar) bar.max = (earliest - Date.now()) / 1000;
  tick(time);
}

/** Show the whole seconds left, and again each second. */
export function tick(time) {
  const clock = clocks.get(time);
  clearTimeout(clock.timer);
  const left = (clock.end - Date.now()) / 1000;
  if (left <= 0) {
    // A clock that was removed from the page meanwhile ends silently.
    if (time.isConnected) clock.over();
    return;
  }
  time.textContent = put(words.left, { time: duration(Math.floor(left)) });
  const bar = time.parentElement.querySelector("progress");
  if (bar) bar.value = left;
  time.closest(".card").classList.toggle("soon", left < SOON);
  clock.timer = setTimeout(() => time.isConnected && tick(time), 1000 * (left % 1) + 1);
}
