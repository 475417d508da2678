/* Follows changes that are made elsewhere: a link gets another time, or is deleted. */

import { moveClock } from "./clock.js";

const LOOK_EVERY = 4000; // ms
const AFTER_A_FAILURE = 30_000; // ms; the server may be busy

/** Ask again and again, while the page is seen, what its links have left; `gone()` is called where
    one of them is no longer there. */
export function follow(gone) {
  const address = document.querySelector("[data-lives]").dataset.lives;
  let next;

  async function look() {
    clearTimeout(next);
    const times = [...document.querySelectorAll("time[data-life]")];
    let pause = LOOK_EVERY;
    if (times.length && !document.hidden) {
      const askedAt = Date.now();
      try {
        const answer = await fetch(address, { headers: { Accept: "application/json" } });
        hold(times, await answer.json(), askedAt);
      } catch {
        pause = AFTER_A_FAILURE;
      }
    }
    clearTimeout(next);
    next = setTimeout(look, pause);
  }

  function hold(times, left, askedAt) {
    const shown = times.filter((time) => time.isConnected);
    for (const time of shown) {
      const ms = left[time.dataset.life] * 1000;
      if (ms) moveClock(time, askedAt + ms, Date.now() + ms);
    }
    if (shown.some((time) => !(time.dataset.life in left))) gone();
  }

  addEventListener("visibilitychange", () => document.hidden || look());
  next = setTimeout(look, LOOK_EVERY);
}
