/** Make elements. Text is always set as text: nothing of a service or a file becomes markup. */

/**
 * Return an element. In `settings`, a function is a listener (`onclick`), `true` an attribute
 * without a value, null, undefined and false nothing; `children` are nodes or text.
 */
export function h(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let fields = 0;

/** Return a labelled control with an optional hint below it. */
export function field(label, control, hint) {
  fields += 1;
  control.id ||= `field-${fields}`;
  const below = hint ? h("small", { id: `${control.id}-hint` }, hint) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, below);
}

/** Return a place for what happens: `.say(text)` for progress, `.fail(error)` for refusals. */
export function notices() {
  const status = h("p", { class: "status", role: "status" });
  const alert = h("div", { role: "alert" });
  const element = h("div", { class: "notices" }, status, alert);
  return Object.assign(element, {
    say(text) {
      alert.replaceChildren();
      status.textContent = text;
    },
    fail(error) {
      status.textContent = "";
      const title = error.title && error.title !== error.message ? error.title : null;
      alert.replaceChildren(
        h("div", { class: "alert" }, title ? h("strong", {}, title) : null, h("p", {}, error.message)),
      );
    },
  });
}

/** Run an action with its button off, and show what goes wrong. */
export async function busy(button, place, action) {
  if (button.getAttribute("aria-disabled") === "true") return;
  // Not `disabled`: that would throw away the keyboard's focus.
  button.setAttribute("aria-disabled", "true");
  try {
    await action();
  } catch (error) {
    place.fail(error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Ask before something that cannot be undone; resolves to whether it was confirmed. */
export function confirmed(question, detail, yes) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("h2", { id: "question" }, question),
      h("p", {}, detail),
      h("div", { class: "row end" },
        h("button", { type: "button", autofocus: true, onclick: () => dialog.close("no") }, "Keep"),
        h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
