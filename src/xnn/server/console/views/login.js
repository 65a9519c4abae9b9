/** Log in with an API key. */

import { busy, field, h, notices } from "../parts/dom.js";
import { Session } from "../session.js";
import { isApiKey } from "../wire/message.js";

export function loginView({ onopen }) {
  const place = notices();
  // Not a password field's usual fate: no manager should keep it unless the user wants that.
  const key = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "xnn_…" });
  const keep = h("input", { type: "checkbox", id: "keep" });
  const enter = h("button", { type: "submit", class: "main wide" }, "Sign in");
  const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); busy(enter, place, signIn); } },
    field("API key", key, "Printed once, when the operator of the service made it."),
    h("div", { class: "check" }, keep, h("label", { for: "keep" }, "Keep it until this tab is closed")),
    enter, place);

  async function signIn() {
    const text = key.value.trim();
    if (!isApiKey(text)) {
      key.focus();
      throw new Error("This is no API key. It begins with xnn_ and has 60 characters.");
    }
    if (!crypto.subtle) {
      throw new Error("The browser signs messages only over HTTPS or on localhost. Open the page that way.");
    }
    place.say("Signing in…");
    onopen(await Session.open(text, keep.checked));
  }

  return h("div", { class: "login" },
    h("section", { class: "card" }, h("h1", {}, "Sign in"), form),
    h("section", { class: "promise" },
      h("h2", {}, "Recognition without sending a face"),
      h("ul", { class: "ticks" },
        h("li", {}, "Your browser finds and aligns the face, takes features from it and adds noise."),
        h("li", {}, "The service gets those numbers: no photograph, no crop. You see them, and how many bytes, before they go."),
        h("li", {}, "What it gets is enough to recognise people, for that is its purpose.")),
      h("p", {}, "This page itself comes from the service. ", h("a", { href: "#/privacy" }, "What follows from that"), ".")));
}
