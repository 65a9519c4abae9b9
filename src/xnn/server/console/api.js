/** All that this page sends: every request of it goes through `Api.request`, and is noted. */

import { MEDIA_TYPE, encode, macKey, renew } from "./wire/message.js";

const ROOT = new URL("../", import.meta.url); // the service may lie below a path of a proxy
const TRIES = 3;
const TIMEOUT_MS = 30_000;
const MOST_NOTED = 200;

/** What the service refused, in its own words (application/problem+json). */
export class ServiceError extends Error {
  constructor({ status, title, detail, kind, retryAfterS }) {
    super(detail || title);
    this.name = "ServiceError";
    Object.assign(this, { status, title, kind, retryAfterS });
  }

  /** Whether the same request may succeed a little later. */
  get isPassing() {
    return this.status === 0 || this.status === 503;
  }
}

export class Api {
  #key;

  /** Take an API key. It is kept in this object and nowhere else. */
  constructor(key) {
    this.#key = key;
    this.sent = []; // newest first: what left this page, for the user to see
    this.onsent = () => {};
  }

  /** Return what `GET /v1/bundle` says of the pair. */
  bundle() {
    return this.json("GET", "v1/bundle");
  }

  /** Call a route that answers JSON. */
  async json(method, path, { query, body } = {}) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), type: "application/json" };
    const response = await this.request(method, path, { query, ...sent });
    return response.status === 204 ? null : response.json();
  }

  /** Send a message of records; what failed in passing is tried again with a new nonce. */
  async records(path, message, { query } = {}) {
    const key = await macKey(this.#key);
    for (let left = TRIES - 1; ; left -= 1) {
      const start = performance.now();
      const body = await encode(message, key);
      const sealed = performance.now() - start;
      try {
        const response = await this.request("POST", path, { query, body, type: MEDIA_TYPE });
        const answer = await response.json();
        const times = { seal: sealed, answer: performance.now() - start - sealed };
        return { answer, bytes: body.length, times };
      } catch (error) {
        if (!(error instanceof ServiceError) || !error.isPassing || left === 0) throw error;
        await pause(1000 * Math.min(error.retryAfterS || 1, 10));
        message = renew(message);
      }
    }
  }

  /** Return how many bytes a message has, without sending it. */
  async size(message) {
    return (await encode(message, await macKey(this.#key))).length;
  }

  /** Return the bytes of a file of the device bundle; `onpart(bytes)` tells of progress. */
  async deviceFile(name, onpart = () => {}) {
    const path = `console/device/${encodeURIComponent(name)}`;
    const response = await this.request("GET", path, { timeoutMs: 600_000 });
    const parts = [];
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      onpart(part.value.length);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  /** Send one request; throws ServiceError for every answer that is not of success. */
  async request(method, path, { query = {}, body, type, timeoutMs = TIMEOUT_MS } = {}) {
    const url = new URL(path, ROOT);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") url.searchParams.set(name, value);
    }
    const headers = { Authorization: `Bearer ${this.#key}` };
    if (type) headers["Content-Type"] = type;
    const note = this.#note({ method, path: url.pathname, bytes: sizeOf(body), type });
    try {
      const response = await fetch(url, {
        method, headers, body, cache: "no-cache", credentials: "omit", redirect: "error",
        referrerPolicy: "no-referrer", signal: AbortSignal.timeout(timeoutMs),
      });
      note.status = response.status;
      if (!response.ok) throw await problemOf(response);
      return response;
    } catch (error) {
      throw error instanceof ServiceError ? error : notReached(note, error);
    } finally {
      this.onsent();
    }
  }

  /** Write down what is sent; the same question without a body asked again is one line. */
  #note(what) {
    const [last] = this.sent;
    const again = last && !what.bytes && last.method === what.method && last.path === what.path;
    const note = again ? last : what;
    if (!again) this.sent.unshift(note);
    this.sent.length = Math.min(this.sent.length, MOST_NOTED);
    return Object.assign(note, { at: new Date(), status: "…", times: (note.times ?? 0) + 1 });
  }
}

function notReached(note, error) {
  const late = error.name === "TimeoutError";
  note.status = late ? "late" : "failed";
  const detail = late
    ? "The service did not answer in time. Try again, or look whether it is running."
    : "The service cannot be reached. Look whether it is running and the network is up.";
  return new ServiceError({ status: 0, title: "No answer", detail });
}

async function problemOf(response) {
  const content = await response.json().catch(() => ({}));
  return new ServiceError({
    status: response.status,
    title: content.title ?? `The service answered ${response.status}`,
    detail: content.detail,
    kind: String(content.type ?? "").split(":").at(-1),
    retryAfterS: Number(response.headers.get("Retry-After")),
  });
}

function sizeOf(body) {
  if (body === undefined) return 0;
  return typeof body === "string" ? new TextEncoder().encode(body).length : body.length;
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
