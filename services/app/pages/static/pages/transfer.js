/* How one upload goes: a ticket, the bytes to storage, and then what the server makes of them.
   Knows nothing of the page. What goes wrong is a Problem, whose message the visitor reads. */

const FIRST_LOOK = 300; // ms until the first request for an image that is being checked
const LAST_LOOK = 3000; // ms between two requests, at the most
const PATIENCE = 3; // times that one of several waits until there is room again
const SPEED_OVER = 4000; // ms over which the speed is measured

let lastClaim = Promise.resolve(); // claims are made one by one, in the order of choosing

function inTurn(call) {
  const turn = lastClaim.then(call);
  lastClaim = turn.catch(() => {});
  return turn;
}

export class Problem extends Error {
  /** `again`: whether the same file may fare better another time; `wait`: in how many ms. */
  constructor(message, { again = true, status = 0, wait = 0 } = {}) {
    super(message);
    Object.assign(this, { again, status, wait });
  }
}

export class Api {
  constructor(address, token, words) {
    this.address = address;
    this.token = token;
    this.words = words;
  }

  /** What the API answers, or null; with `askedAt` in ms, when that was: `seconds_left` counts from
      some moment after it. */
  async call(method, path = "", { body, signal, keepalive } = {}) {
    const headers = { Accept: "application/json", "X-CSRFToken": this.token };
    if (body) headers["Content-Type"] = "application/json";
    const request = { method, headers, signal, keepalive, body: body && JSON.stringify(body) };
    const askedAt = Date.now();
    const response = await fetch(this.address + path, request).catch((error) => {
      throw error.name === "AbortError" ? error : new Problem(this.words.offline);
    });
    const answer = await response.json().catch(() => null);
    if (response.ok) return answer && { answer, askedAt };
    const sentences = { 401: this.words.stale, 403: this.words.stale, 500: this.words.broken };
    const sentence = sentences[response.status] || answer?.detail || this.words.broken;
    throw new Problem(sentence, {
      status: response.status,
      wait: 1000 * Number(response.headers.get("Retry-After")),
      // These refusals are final; a full quota, for example, is not.
      again: ![400, 401, 403, 413, 415, 422].includes(response.status),
    });
  }
}

export class Transfer {
  /** `batch`: what knows the link that it joins, or null. `onProgress({sent, speed})` in bytes and
      bytes a second; `onCheck()` once all are there; `onWait(why)` while there is no room. */
  constructor(api, file, claim, batch, { onProgress, onCheck, onWait }) {
    Object.assign(this, { api, file, claim, batch, onProgress, onCheck, onWait });
    this.stop = new AbortController();
    this.id = null;
  }

  /** The API's answer, once the upload is ready or rejected. Raises Problem or AbortError. */
  async run() {
    const { signal } = this.stop;
    const { answer } = await inTurn(async () => {
      await this.#checkReadable();
      return this.#claim(signal);
    });
    this.id = answer.id;
    await this.#send(answer.ticket);
    this.onCheck();
    let found = await this.api.call("POST", `/uploads/${this.id}/complete`, { signal });
    for (let wait = FIRST_LOOK; found.answer.state === "checking"; ) {
      await pause(wait, signal);
      wait = Math.min(wait * 1.5, LAST_LOOK);
      found = await this.api.call("GET", `/uploads/${this.id}`, { signal }).catch((error) => {
        if (error.status !== 404) throw error;
        // It was there a moment ago, so newer images have replaced it.
        throw new Problem(this.api.words.superseded, { again: false });
      });
    }
    return found;
  }

  /** Announce it. One of several waits where so many at once are too many. */
  async #claim(signal) {
    for (let patience = this.batch?.several ? PATIENCE : 0; ; patience -= 1) {
      try {
        const link_id = await this.batch?.link(signal);
        const body = link_id ? { ...this.claim, link_id } : this.claim;
        return await this.api.call("POST", "/uploads", { body, signal });
      } catch (error) {
        if (error.status !== 429 || !error.wait || patience < 1) throw error;
        this.onWait(error.message);
        await pause(error.wait, signal);
      }
    }
  }

  /** Stop, and tell the server that nothing more will come. */
  cancel() {
    this.stop.abort();
    if (this.id) this.api.call("DELETE", `/uploads/${this.id}`, { keepalive: true }).catch(() => {});
  }

  /** Raise Problem where the browser no longer gives the file that was chosen: it was changed,
      moved or deleted since. https://w3c.github.io/FileAPI/#concept-snapshot-state */
  async #checkReadable() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
    } catch {
      throw new Problem(this.api.words.changed, { again: false });
    }
  }

  #send(ticket) {
    const form = new FormData();
    for (const [name, value] of Object.entries(ticket.fields)) form.append(name, value);
    form.append("file", this.file); // last: S3 ignores fields after the file
    const samples = [[performance.now(), 0]];
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch doesn't report the progress of sending
      const fail = () =>
        this.#checkReadable().then(() => reject(new Problem(this.api.words.unreachable)), reject);
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        const now = performance.now();
        samples.push([now, loaded]);
        while (samples.length > 2 && now - samples[0][0] > SPEED_OVER) samples.shift();
        const [since, before] = samples[0];
        const speed = (1000 * (loaded - before)) / (now - since || 1);
        this.onProgress({ sent: this.file.size * (loaded / total), speed });
      });
      request.addEventListener("load", () => (request.status < 300 ? resolve() : fail()));
      request.addEventListener("error", fail);
      this.stop.signal.addEventListener("abort", () => {
        request.abort();
        reject(this.stop.signal.reason);
      });
      request.open(ticket.method, ticket.url);
      request.send(form);
    });
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
