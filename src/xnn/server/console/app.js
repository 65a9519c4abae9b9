/** The frame of the page: who is logged in, which view is shown. */

import { busy, h } from "./parts/dom.js";
import { Session } from "./session.js";
import { enrolView } from "./views/enrol.js";
import { loginView } from "./views/login.js";
import { privacyView } from "./views/privacy.js";
import { recogniseView } from "./views/recognise.js";
import { serviceView } from "./views/service.js";
import { subjectsView } from "./views/subjects.js";

const VIEWS = {
  recognise: { title: "Recognise", make: recogniseView },
  enrol: { title: "Enrol", make: enrolView },
  subjects: { title: "Subjects", make: subjectsView },
  service: { title: "Service", make: serviceView },
  privacy: { title: "Privacy", make: privacyView },
};

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const state = document.getElementById("state");
const out = document.getElementById("out");
let session = null;
let shown = null;

nav.append(...Object.entries(VIEWS).map(([name, { title }]) => h("a", { href: `#/${name}` }, title)));
nav.addEventListener("click", ({ target }) => {
  // The address stays the same then, and the view would: who asks for it again wants it fresh.
  if (target.hash === location.hash) show({ focus: true });
});
out.addEventListener("click", () => busy(out, { fail: () => {} }, signOut));
window.addEventListener("hashchange", () => show({ focus: true }));

/** Show the view that the address names; without a session the login, or the page on privacy. */
function show({ focus = false } = {}) {
  const [, name = "", argument = ""] = location.hash.split("/");
  const view = VIEWS[name] ?? VIEWS.recognise;
  shown?.leave?.();
  nav.hidden = out.hidden = session === null;
  if (session === null && view !== VIEWS.privacy) {
    document.title = "Sign in - XNN console";
    shown = loginView({ onopen: signIn });
  } else {
    document.title = `${view.title} - XNN console`;
    if (!(name in VIEWS)) history.replaceState(null, "", "#/recognise");
    shown = view.make(session, decodeURIComponent(argument));
  }
  for (const link of nav.children) {
    if (VIEWS[link.hash.slice(2)] === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren(shown);
  window.scrollTo(0, 0);
  if (focus) main.focus({ preventScroll: true });
  if (session === null) shown.querySelector("input")?.focus();
}

function signIn(opened) {
  session = opened;
  session.onload = (text) => { state.textContent = text; };
  show({ focus: true });
}

async function signOut() {
  const closing = session;
  session = null;
  location.hash = "";
  show();
  await closing.close();
}

/** Say so where the parts that npm brings are missing: the rest of the page works without them. */
async function checkBuilt() {
  const part = new URL("vendor/ort-wasm-simd-threaded.wasm", import.meta.url);
  const response = await fetch(part, { method: "HEAD", cache: "no-cache" }).catch(() => null);
  if (response === null || response.ok) return; // a service that is away is told of elsewhere
  const text = "This console was not built: run `make console` where the service is installed, and reload.";
  main.before(h("p", { class: "alert wide", role: "alert" }, `${text} Until then no picture can be read.`));
}

checkBuilt();
const kept = Session.kept();
if (kept) {
  try {
    session = await Session.open(kept, true);
    session.onload = (text) => { state.textContent = text; };
  } catch {
    sessionStorage.clear(); // revoked, or another service by now: log in again
  }
}
show();
