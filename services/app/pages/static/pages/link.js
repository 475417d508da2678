/* The page of a link, with scripts: the time counts down, and the link can be copied. */

import { askedForPage, startClock } from "./clock.js";
import "./copying.js";
import { follow } from "./follow.js";

document.documentElement.classList.add("scripts");
const reload = () => location.reload(); // the page then says that the link has expired
for (const time of document.querySelectorAll("time[data-seconds-left]")) {
  const end = askedForPage() + Number(time.dataset.secondsLeft) * 1000;
  startClock(time, end, reload);
}
follow(reload);
