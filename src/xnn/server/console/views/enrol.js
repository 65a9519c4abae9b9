/** Enrol a subject from one or more pictures. */

import { capturePanel } from "../parts/capture.js";
import { busy, field, h, notices } from "../parts/dom.js";
import { plural } from "../parts/format.js";

export const SUBJECT_PATTERN = "\\.{0,127}[A-Za-z0-9_\\-][A-Za-z0-9._\\-]*"; // not dots alone

export function enrolView(session, subject) {
  const place = notices();
  const id = h("input", { type: "text", pattern: SUBJECT_PATTERN, maxlength: 128, required: true, autocomplete: "off", spellcheck: "false", value: subject });
  const button = h("button", { type: "submit", class: "main" }, "Enrol");
  const show = () => {
    const number = panel.ready().length;
    button.textContent = number ? `Enrol ${plural(number, "picture")}` : "Enrol";
  };
  const panel = capturePanel(session, place, { multiple: true, onchange: show });
  const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); busy(button, place, enrol); } },
    field("Subject", id, "Letters, digits, dots, dashes and underscores. A pseudonym is enough: the service needs no name."),
    panel, h("div", { class: "row" }, button), place);

  async function enrol() {
    const cards = panel.ready();
    if (!id.checkValidity()) {
      id.focus();
      throw new Error("Give the subject an id of 1 to 128 letters, digits, dots, dashes and underscores.");
    }
    if (!cards.length) throw new Error("Choose pictures with a face first.");
    const most = session.info.max_records;
    if (cards.length > most) throw new Error(`The service takes ${plural(most, "picture")} at once; take some out.`);
    place.say("Sending…");
    const message = session.compose(cards.map((card) => card.capture.z));
    const path = `v1/subjects/${encodeURIComponent(id.value)}/templates`;
    const { answer, bytes, times } = await session.api.records(path, message, { query: { create: "true" } });
    cards.forEach((card) => card.sent(bytes, times, cards.length));
    panel.finish();
    place.say(`${id.value} is enrolled with ${plural(answer.templates.length, "more template")}.`);
    done.replaceChildren(
      h("p", {}, h("a", { href: "#/recognise" }, "Find them with another picture"), " or ",
        h("a", { href: "#/subjects" }, "see all subjects"), "."));
  }

  const done = h("div", {});
  return Object.assign(
    h("div", { class: "view" }, h("h1", {}, "Enrol"),
      h("p", { class: "lead" }, "Choose pictures of one person. Several, in different light, are better than one."),
      form, done),
    { leave: panel.leave });
}
