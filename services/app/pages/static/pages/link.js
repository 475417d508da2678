/* The page of a link, with scripts: the time counts down, and the link can be copied. */

import { endOf, startClock } from "./clock.js";
import "./copying.js";
import { follow } from "./follow.js";

document.documentElement.classList.add("scripts");
const reload = () => location.reload(); // the page then says that the link has expired
for (const time of document.querySelectorAll("time[data-seconds-left]")) {
  startClock(time, endOf(time), reload);
}
follow(reload);
