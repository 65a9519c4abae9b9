/** Who is it (search), or is it them (verify). */

import { candidateList, verifyAnswer } from "../parts/answers.js";
import { capturePanel } from "../parts/capture.js";
import { busy, field, h, notices } from "../parts/dom.js";
import { rate } from "../parts/format.js";
import { SUBJECT_PATTERN } from "./enrol.js";

export function recogniseView(session, subject) {
  const place = notices();
  const results = h("section", { class: "results", "aria-label": "Result", "aria-live": "polite" });
  const panel = capturePanel(session, place, { multiple: false, onchange: () => results.replaceChildren() });
  const search = h("input", { type: "radio", name: "mode", id: "mode-search", checked: !subject });
  const verify = h("input", { type: "radio", name: "mode", id: "mode-verify", checked: Boolean(subject) });
  const id = h("input", { type: "text", pattern: SUBJECT_PATTERN, maxlength: 128, autocomplete: "off", spellcheck: "false", value: subject });
  const far = farSelect(session.info);
  const most = h("input", { type: "number", min: 1, max: 50, value: 5 });
  const button = h("button", { type: "submit", class: "main" });
  const only = { search: field("Show at most", most), verify: field("Subject", id) };
  const show = () => {
    only.search.hidden = verify.checked;
    only.verify.hidden = search.checked;
    button.textContent = search.checked ? "Search" : "Verify";
    results.replaceChildren();
  };
  const form = h("form", { novalidate: true, onchange: (event) => { if (event.target.name === "mode") show(); },
    onsubmit: (event) => { event.preventDefault(); busy(button, place, ask); } },
    h("fieldset", { class: "choice" }, h("legend", {}, "Question"),
      search, h("label", { for: search.id }, "Who is it?"),
      verify, h("label", { for: verify.id }, "Is it this subject?")),
    h("div", { class: "fields" }, only.verify, only.search,
      far ? field("False matches allowed", far, "Stricter settings miss more people.") : null),
    panel, h("div", { class: "row" }, button), place, results);
  show();

  async function ask() {
    const [card] = panel.ready();
    if (!card) throw new Error("Choose a picture with a face first.");
    results.replaceChildren();
    if (verify.checked && (!id.value || !id.checkValidity())) {
      id.focus();
      throw new Error("Name the subject to compare with.");
    }
    place.say(search.checked ? "Searching…" : "Comparing…");
    const message = session.compose([card.capture.z]);
    const path = search.checked ? "v1/search" : `v1/subjects/${encodeURIComponent(id.value)}/verify`;
    const query = { far: far?.value, ...(search.checked ? { top_k: most.value } : {}) };
    const { answer, bytes, times } = await session.api.records(path, message, { query });
    card.sent(bytes, times);
    place.say("");
    results.replaceChildren(search.checked ? candidateList(answer) : verifyAnswer(answer, id.value));
  }

  return Object.assign(h("div", { class: "view" }, h("h1", {}, "Recognise"), form), { leave: panel.leave });
}

/** Return the false accept rates that the bundle was calibrated for, or null. */
function farSelect({ thresholds = [], default_far: usual }) {
  if (!thresholds.length) return null;
  return h("select", {}, thresholds.map(({ far, threshold }) =>
    h("option", { value: far, selected: far === usual }, `${rate(far)} (score ≥ ${threshold.toFixed(3)})`)));
}
