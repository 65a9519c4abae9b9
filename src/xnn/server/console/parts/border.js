/** One picture on both sides of the border: what stays in this browser, and what leaves it. */

import { cropOf, numbersOf, photographOf } from "./drawing.js";
import { h } from "./dom.js";
import { bytes, count, ms } from "./format.js";

const STEPS = {
  read: "read the file",
  find: "find the face",
  align: "align it",
  front: "features and noise",
  seal: "write the message",
  answer: "service answers",
};

/** Return a card for one capture; `.sent(bytes, times, together)` tells it that it went. */
export function borderCard(capture, { name, shape, dtype, size, ondrop }) {
  const times = { ...capture.times };
  const steps = h("ol", { class: "steps" });
  const verdict = h("p", { class: "verdict" }, "Nothing has been sent yet.");
  const drop = h("button", { type: "button", class: "quiet", "aria-label": `Take out ${name}`, onclick: ondrop }, "Take out");
  const showSteps = () => steps.replaceChildren(...Object.entries(STEPS)
    .filter(([step]) => step in times)
    .map(([step, label]) => h("li", {}, label, " ", h("b", {}, ms(times[step])))));
  const [m, e] = shape;
  const card = h("article", { class: "border-card" },
    h("header", {}, h("h3", {}, name), drop),
    h("div", { class: "sides" },
      h("section", { class: "stays" },
        h("h4", {}, "Stays in this browser"),
        h("div", { class: "pictures" },
          h("figure", {}, photographOf(capture), h("figcaption", {}, `${capture.width} × ${capture.height} pixels`)),
          h("figure", {}, cropOf(capture), h("figcaption", {}, "aligned, 112 × 112")))),
      h("section", { class: "leaves" },
        h("h4", {}, "Leaves this browser"),
        numbersOf(capture.z, shape),
        h("p", { class: "facts" },
          h("b", {}, `${m} × ${e} numbers`), ` as ${dtype}: the message has `, h("b", {}, bytes(size)), "."),
        verdict)),
    steps);
  showSteps();
  return Object.assign(card, {
    capture,
    sent(sentBytes, more, together = 1) {
      Object.assign(times, more);
      showSteps();
      const message = together > 1 ? `${bytes(sentBytes)} for ${together} captures` : bytes(sentBytes);
      verdict.textContent = `Sent: ${message}, and no picture.`;
      verdict.classList.add("done");
    },
  });
}

/** Return a card for a picture in which no face was found, or that could not be read. */
export function refusedCard({ name, text, capture, ondrop }) {
  return h("article", { class: "border-card refused" },
    h("header", {}, h("h3", {}, name), h("button", { type: "button", class: "quiet", "aria-label": `Take out ${name}`, onclick: ondrop }, "Take out")),
    h("div", { class: "pictures" },
      capture ? h("figure", {}, photographOf(capture), h("figcaption", {}, `${count(capture.width)} × ${count(capture.height)} pixels`)) : null,
      h("p", { class: "alert" }, text)));
}
