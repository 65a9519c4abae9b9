/** All subjects of this tenant: add, delete, see and erase templates. */

import { busy, confirmed, field, h, notices } from "../parts/dom.js";
import { plural, when } from "../parts/format.js";
import { SUBJECT_PATTERN } from "./enrol.js";

const PAGE = 50;

export function subjectsView(session, wanted) {
  const { api } = session;
  const place = notices();
  const list = h("ul", { class: "subjects" });
  const more = h("button", { type: "button", hidden: true, onclick: () => busy(more, place, load) }, "Show more");
  const id = h("input", { type: "text", pattern: SUBJECT_PATTERN, maxlength: 128, autocomplete: "off", spellcheck: "false" });
  const add = h("button", { type: "submit" }, "Add");
  let last = "";

  async function load() {
    const page = await api.json("GET", "v1/subjects", { query: { after: last, limit: PAGE } });
    list.append(...page.subjects.map((name) => row(name)));
    last = page.next ?? last;
    more.hidden = page.next === null;
    empty.hidden = list.children.length > 0;
  }

  function row(name) {
    const templates = h("div", { class: "templates", hidden: true });
    const path = `v1/subjects/${encodeURIComponent(name)}`;
    const see = h("button", { type: "button", "aria-expanded": "false", onclick: () => busy(see, place, toggle) }, "Templates");
    const erase = h("button", { type: "button", class: "danger", "aria-label": `Delete ${name}`, onclick: () => busy(erase, place, remove) }, "Delete");
    const item = h("li", {},
      h("div", { class: "row between" }, h("b", { class: "name" }, name),
        h("span", { class: "row" }, see,
          h("a", { class: "button", href: `#/enrol/${encodeURIComponent(name)}`, "aria-label": `Enrol more pictures of ${name}` }, "Enrol more"), erase)),
      templates);

    async function toggle() {
      const open = templates.hidden;
      if (open) templates.replaceChildren(await templateTable(session, path, place));
      templates.hidden = !open;
      see.setAttribute("aria-expanded", String(open));
    }

    async function remove() {
      if (!(await confirmed(`Delete ${name}?`, "The subject and all its templates are erased. This cannot be undone.", "Delete"))) return;
      await api.json("DELETE", path);
      item.remove();
      empty.hidden = list.children.length > 0;
      place.say(`${name} is deleted.`);
      document.getElementById("main").focus();
    }
    return item;
  }

  async function create() {
    if (!id.value || !id.checkValidity()) {
      id.focus();
      throw new Error("Give the subject an id of 1 to 128 letters, digits, dots, dashes and underscores.");
    }
    await api.json("POST", "v1/subjects", { body: { subject_id: id.value } });
    list.prepend(row(id.value));
    empty.hidden = true;
    place.say(`${id.value} is added. It has no template yet.`);
    id.value = "";
  }

  async function start() {
    place.say("Loading…");
    if (wanted) {
      await api.json("GET", `v1/subjects/${encodeURIComponent(wanted)}`);
      list.append(row(wanted));
      list.querySelector("button").click();
    } else await load();
    place.say("");
  }

  const empty = h("p", { class: "empty", hidden: true }, "There is nobody yet. ", h("a", { href: "#/enrol" }, "Enrol somebody"), ".");
  const view = h("div", { class: "view" }, h("h1", {}, "Subjects"),
    wanted
      ? h("p", {}, h("a", { href: "#/subjects" }, "All subjects"))
      : h("form", { class: "inline", novalidate: true, onsubmit: (event) => { event.preventDefault(); busy(add, place, create); } },
        field("New subject", id), add),
    place, list, empty, more);
  start().catch((error) => place.fail(error));
  return view;
}

async function templateTable({ api, info }, path, place) {
  const { templates } = await api.json("GET", `${path}/templates`);
  if (!templates.length) return h("p", { class: "empty" }, "No template.");
  const body = h("tbody", {}, templates.map((template) => {
    const erase = h("button", { type: "button", class: "quiet", "aria-label": `Erase template ${template.template_id}`,
      onclick: () => busy(erase, place, async () => {
        await api.json("DELETE", `v1/templates/${template.template_id}`);
        place.say("The template is erased.");
        line.remove();
      }) }, "Erase");
    const line = h("tr", {},
      h("td", {}, h("code", {}, template.template_id.slice(0, 12))),
      h("td", {}, when(template.created_ms)),
      h("td", {}, template.bundle_id === info.bundle_id ? "this bundle" : "another bundle"),
      h("td", {}, erase));
    return line;
  }));
  return h("div", { class: "scroll" },
    h("table", {}, h("caption", {}, plural(templates.length, "template")),
      h("thead", {}, h("tr", {}, ["Id", "Made", "Under", ""].map((title) => h("th", { scope: "col" }, title)))), body));
}
