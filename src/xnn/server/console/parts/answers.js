/** What the service answered: candidates with their scores, or a verdict. */

import { h } from "./dom.js";
import { plural, rate, score } from "./format.js";

/** Return the candidates of one probe as a list with bars and the threshold on them. */
export function candidateList({ results, threshold, far, gallery_size: size }) {
  const candidates = results[0]?.candidates ?? [];
  const among = size === undefined ? "" : ` among ${plural(size, "template")}`;
  if (size === 0) {
    return h("div", { class: "card" }, verdict("no", "The gallery is empty"),
      h("p", {}, h("a", { href: "#/enrol" }, "Enrol somebody"), " first."));
  }
  if (!candidates.length) {
    return h("div", { class: "card" }, verdict("no", "Nobody was found"),
      h("p", {}, `No subject${among} reaches the threshold${limit(threshold, far)}.`));
  }
  const [best] = candidates;
  const found = isMatch(best.score, threshold);
  return h("div", { class: "card" },
    found ? verdict("yes", "Found: ", h("b", {}, best.subject_id)) : verdict("no", "Nobody reaches the threshold"),
    h("p", {}, `${plural(candidates.length, "candidate")}${among}${limit(threshold, far)}.`),
    h("ol", { class: "candidates" }, candidates.map((candidate) =>
      h("li", {},
        h("div", { class: "row between" },
          h("a", { href: `#/subjects/${encodeURIComponent(candidate.subject_id)}` }, candidate.subject_id),
          h("span", { class: "score" }, score(candidate.score))),
        scoreBar(candidate.score, threshold)))));
}

/** Return the answer to "is it them?". */
export function verifyAnswer({ results, threshold, far }, subject) {
  const [{ score: value, match }] = results;
  return h("div", { class: "card" },
    match ? verdict("yes", "Match: it is ", h("b", {}, subject)) : verdict("no", "No match: not ", h("b", {}, subject)),
    h("p", {}, `Score ${score(value)}${limit(threshold, far)}.`),
    scoreBar(value, threshold));
}

function verdict(kind, ...text) {
  return h("p", { class: `answer ${kind}` }, h("span", { "aria-hidden": "true" }, kind === "yes" ? "✓" : "✗"), h("span", {}, text));
}

function limit(threshold, far) {
  if (typeof threshold !== "number") return "";
  return `; threshold ${score(threshold)}, for ${rate(far)} false matches`;
}

function isMatch(value, threshold) {
  // Where scores are withheld the service lists only those above the threshold.
  return typeof value !== "number" || typeof threshold !== "number" || value >= threshold;
}

/** Draw a cosine between -1 and 1, with the threshold as a mark. */
function scoreBar(value, threshold) {
  if (typeof value !== "number") return null;
  const share = (cosine) => `${(100 * (Math.min(Math.max(cosine, -1), 1) + 1)) / 2}%`;
  const bar = h("span", { class: value >= threshold ? "fill yes" : "fill" });
  bar.style.width = share(value); // by script: the page's policy allows no style in its text
  const mark = h("span", { class: "mark" });
  if (typeof threshold === "number") mark.style.left = share(threshold);
  else mark.hidden = true;
  return h("div", { class: "bar-track", role: "img", "aria-label": `Score ${score(value)}, threshold ${score(threshold)}` }, bar, mark);
}
