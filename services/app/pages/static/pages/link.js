/* The page of a link, with scripts: the time counts down, and the link can be copied. */

import { askedForPage, startClock } from "./clock.js";
import "./copying.js";

document.documentElement.classList.add("scripts");
for (const time of document.querySelectorAll("time[data-seconds-left]")) {
  const end = askedForPage() + Number(time.dataset.secondsLeft) * 1000;
  startClock(time, end, () => location.reload()); // which says that it has expired
}
