/** What this page protects, and what not; also to be read before logging in. */

import { h } from "../parts/dom.js";

export function privacyView(session) {
  return h("article", { class: "view prose" },
    h("h1", {}, "What this page protects, and what not"),
    h("div", { class: "two" },
      h("section", { class: "card good" }, h("h2", {}, "It protects"),
        h("ul", {},
          h("li", {}, "No photograph and no crop of a face is sent. Reading, aligning, features and noise happen in this browser; the service has no route that takes a picture."),
          h("li", {}, "What is sent is shown beside the photograph before it goes, and every request of this page is listed under Service."),
          h("li", {}, "Each message is made for your API key, carries the time and is taken once."))),
      h("section", { class: "card bad" }, h("h2", {}, "It does not protect"),
        h("ul", {},
          h("li", {}, h("b", {}, "Against the one who serves this page. "), "The page comes from the service. An operator who changes it could make it send the photograph. Who does not trust the operator uses the device program (", h("code", {}, "xnn device"), ") instead: it is installed once and does not change by itself."),
          h("li", {}, h("b", {}, "Against being recognised by the service. "), "Its templates recognise people: that is what they are for."),
          h("li", {}, h("b", {}, "As encryption would. "), "Features with noise are obfuscated. How much an attacker gets back is measured, and is not nothing; the threat model of XNN has the numbers."),
          h("li", {}, h("b", {}, "The device bundle. "), "Everybody with an API key of this service can fetch the front that runs in this browser.")))),
    h("h2", {}, "The API key"),
    h("p", {}, "It stays in the memory of this page and is gone when the page is closed or reloaded. Only if you ask for it when signing in, the tab keeps it until it is closed. It is sent to this service alone."),
    session === null ? h("p", {}, h("a", { href: "#/" }, "Back to signing in")) : null);
}
