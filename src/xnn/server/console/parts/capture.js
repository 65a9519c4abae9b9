/** Choose pictures or use the camera, and see what would leave before anything is sent. */

import { borderCard, refusedCard } from "./border.js";
import { cameraPanel } from "./camera.js";
import { h } from "./dom.js";
import { plural } from "./format.js";

/**
 * Return a panel; `.ready()` gives the captures that can be sent, in order. After `.finish()` they
 * are there to be seen only: the next picture begins anew, so that nobody gets another's captures.
 */
export function capturePanel(session, place, { multiple, onchange = () => {} }) {
  const list = h("div", { class: "captures" });
  const title = multiple ? "Choose pictures" : "Choose a picture";
  // The browser's own control is opened by a button, which Enter and Space press everywhere.
  const input = h("input", {
    type: "file", accept: "image/*,.pgm,.ppm", multiple, id: "pictures", tabindex: -1, "aria-label": title,
  });
  const choose = h("button", { type: "button", class: "choose", onclick: () => input.click() }, title);
  let work = Promise.resolve();
  let finished = false;

  const add = (name, argument) => {
    // One after the other: the list is in the order in which the pictures were given.
    work = work.then(() => prepare(name, argument));
    return work;
  };

  async function prepare(name, argument) {
    place.say(`Reading ${name} in this browser…`);
    if (!multiple || finished) list.replaceChildren();
    finished = false;
    const ondrop = (event) => {
      event.currentTarget.closest("article").remove();
      choose.focus();
      onchange();
    };
    try {
      const { pipeline, card } = await session.device();
      const capture = await pipeline.capture(argument);
      if (!capture.faces) {
        const text = "No face was found. Use a picture with a face that is seen from the front.";
        list.append(refusedCard({ name, capture, ondrop, text }));
        place.say(`No face was found in ${name}.`);
        return;
      }
      const shape = [card.m, card.e];
      const size = await session.api.size(session.compose([capture.z]));
      list.append(borderCard(capture, { name, shape, dtype: session.dtype, size, ondrop }));
      place.say(`${name} is ready: ${plural(capture.faces, "face")} found. Nothing has been sent yet.`);
    } catch (error) {
      list.append(refusedCard({ name, ondrop, text: error.message }));
      place.say(`${name} cannot be used.`);
    } finally {
      onchange();
    }
  }

  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    for (const file of multiple ? files : files.slice(0, 1)) await add(file.name, { file });
  });
  const camera = cameraPanel((frame) => add("Camera picture", { frame }), place);
  const drop = h("div", { class: "drop" },
    choose, input,
    h("small", {}, h("span", { class: "mouse" }, multiple ? "or drop them here, " : "or drop it here, "), "or"), camera.open);
  for (const kind of ["dragover", "drop"]) drop.addEventListener(kind, (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => {
    const files = [...event.dataTransfer.files];
    for (const file of multiple ? files : files.slice(0, 1)) add(file.name, { file });
  });

  const element = h("div", { class: "capture" }, drop, camera.live, list);
  return Object.assign(element, {
    ready: () => (finished ? [] : [...list.children].filter((card) => card.capture)),
    finish: () => { finished = true; onchange(); },
    leave: camera.close,
  });
}
