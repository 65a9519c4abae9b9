/** The camera: one frame at a time, on request; its picture goes to the worker and nowhere else. */

import { h } from "./dom.js";

/** Return a panel that opens the camera and hands frames to `onframe(ImageBitmap)`. */
export function cameraPanel(onframe, place) {
  const video = h("video", { autoplay: true, playsinline: true, muted: true, "aria-label": "What the camera sees" });
  const take = h("button", { type: "button", class: "main" }, "Take a picture");
  const stop = h("button", { type: "button" }, "Close the camera");
  const live = h("div", { class: "camera", hidden: true }, video, h("div", { class: "row" }, take, stop));
  const open = h("button", { type: "button" }, "Use the camera");
  let stream = null;

  open.addEventListener("click", async () => {
    if (!navigator.mediaDevices?.getUserMedia) {
      place.fail(new Error("This browser gives no camera to this page; choose a picture instead."));
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
    } catch {
      place.fail(new Error("The camera was refused or is in use; allow it for this page, or choose a picture."));
      return;
    }
    video.srcObject = stream;
    live.hidden = false;
    open.hidden = true;
    take.focus();
  });
  take.addEventListener("click", async () => {
    if (video.readyState >= 2) onframe(await createImageBitmap(video));
  });
  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    live.hidden = true;
    open.hidden = false;
  };
  stop.addEventListener("click", () => { close(); open.focus(); });
  return { open, live, close };
}
