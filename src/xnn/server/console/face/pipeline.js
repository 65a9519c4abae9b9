/** The page's side of the worker: ask, and await the answer. */

export class Pipeline {
  constructor() {
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.next = 0;
    this.worker.addEventListener("message", ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(error));
    });
    this.worker.addEventListener("error", () => this.#fail());
  }

  /** Open detector and front; see worker.js. */
  load(argument) {
    return this.#ask("load", argument);
  }

  /** Turn a picture into z: `{ file }`, or `{ frame }` of a camera. */
  capture(argument) {
    return this.#ask("capture", argument, argument.frame ? [argument.frame] : []);
  }

  /** Stop the worker and forget what it held. */
  close() {
    this.worker.terminate();
  }

  #ask(method, argument, give = []) {
    const id = this.next;
    this.next += 1;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, argument }, give);
    });
  }

  #fail() {
    const text = "The part of the page that reads faces did not start; reload the page.";
    for (const { reject } of this.waiting.values()) reject(new Error(text));
    this.waiting.clear();
  }
}
