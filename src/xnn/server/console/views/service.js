/** The service: its bundle, live metrics, what this page sent, and how this browser works. */

import { h, field, notices } from "../parts/dom.js";
import { bytes, count, rate } from "../parts/format.js";
import { metricsPanel } from "../parts/metrics.js";

export function serviceView(session) {
  const place = notices();
  const metrics = metricsPanel(session.api);
  const log = h("tbody", {});
  const showLog = () => log.replaceChildren(...session.api.sent.slice(0, 50).map(logLine));
  session.api.onsent = showLog;
  showLog();
  const view = h("div", { class: "view" },
    h("h1", {}, "Service"),
    h("h2", {}, "Now"), metrics,
    h("h2", {}, "What this page has sent"),
    h("p", {}, "Every request since you signed in, newest first. Only those with a body carry something of yours."),
    h("div", { class: "scroll" },
      h("table", { class: "log" },
        h("thead", {}, h("tr", {}, ["Time", "Request", "Body", "Answer"].map((title) => h("th", { scope: "col" }, title)))), log)),
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", {}, "Bundle"), facts(session.info)),
      h("section", { class: "card" }, h("h2", {}, "This browser"), settings(session, place), place)));
  return Object.assign(view, { leave: () => { metrics.leave(); session.api.onsent = () => {}; } });
}

function logLine({ method, path, bytes: size, type, at, status, times }) {
  return h("tr", {},
    h("td", {}, at.toLocaleTimeString("en-GB")),
    h("td", {}, h("code", {}, `${method} ${path}`), times > 1 ? ` ${count(times)} times` : null),
    h("td", {}, size ? `${bytes(size)}${type.includes("json") ? " of JSON" : " of numbers"}` : "none"),
    h("td", {}, String(status)));
}

function facts(info) {
  const rows = {
    Bundle: h("code", {}, info.bundle_id.slice(0, 16)),
    Scheme: info.scheme,
    "Sent for a face": `${info.m} × ${info.e} numbers`,
    "Number formats": info.dtypes.join(", "),
    "Pictures in a message": `at most ${count(info.max_records)}`,
    Thresholds: (info.thresholds ?? []).map(thresholdText).join("; ") || "not calibrated",
  };
  return h("dl", {}, Object.entries(rows).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function thresholdText({ far, threshold, far_low: low, far_high: high }) {
  const measured = high === null || high === undefined ? "" : ` (measured ${rate(low)} to ${rate(high)})`;
  return `${threshold.toFixed(3)} for ${rate(far)}${measured}`;
}

function settings(session, place) {
  const dtype = h("select", { onchange: () => { session.dtype = dtype.value; place.say(`Numbers are sent as ${dtype.value} from now on.`); } },
    session.info.dtypes.map((name) => h("option", { value: name, selected: name === session.dtype }, name)));
  const front = h("select", { onchange: () => {
    session.chooseFront(front.value === "int8");
    place.say("The front is fetched when the next picture is read.");
  } },
  h("option", { value: "float32", selected: !session.int8 }, "full (float32)"),
  h("option", { value: "int8", selected: session.int8 }, "small (int8), where the bundle has one"));
  return h("div", {}, field("Numbers are sent as", dtype, "Only formats that the student reads without loss worth naming."),
    field("Front", front, "The small one is quicker to fetch, and a little less exact."));
}
