/** Live metrics of the service, read from its Prometheus text while they are looked at. */

import { h } from "./dom.js";
import { count, ms } from "./format.js";
import { sparkline } from "./sparkline.js";

const EVERY_MS = 2000;
const KEPT = 60; // two minutes

/** Return a panel that reads /metrics again and again until `.leave()`. */
export function metricsPanel(api) {
  const tiles = h("div", { class: "tiles" });
  const note = h("p", { class: "status", role: "status" }, "Reading the metrics…");
  const seen = [];
  let timer = null;
  let left = false;

  async function read() {
    try {
      const response = await api.request("GET", "metrics");
      seen.push({ at: performance.now() / 1000, samples: samplesOf(await response.text()) });
      if (seen.length > KEPT) seen.shift();
      tiles.replaceChildren(...tilesOf(seen));
      note.textContent = "";
    } catch (error) {
      note.textContent = error.message;
    }
    if (!left) timer = setTimeout(read, EVERY_MS);
  }
  read();
  return Object.assign(h("div", {}, note, tiles), { leave() { left = true; clearTimeout(timer); } });
}

/** Read Prometheus' text format: [{ name, labels, value }]. */
export function samplesOf(text) {
  return text.split("\n").flatMap((line) => {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) return [];
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    return [{ name: found[1], labels, value: Number(found[3]) }];
  });
}

function tilesOf(seen) {
  const now = seen.at(-1);
  const requests = seen.map(({ samples }) => sum(samples, "xnn_requests_total"));
  const rates = seen.slice(1).map(({ at }, index) => (requests[index + 1] - requests[index]) / (at - seen[index].at));
  const records = (purpose) => sum(now.samples, "xnn_records_total", (labels) => labels.purpose === purpose);
  const batches = sum(now.samples, "xnn_batch_records_count");
  const tiles = [
    tile("Requests a second", rates.length ? rates.at(-1).toFixed(1) : "…", sparkline(rates)),
    tile("Answered", count(requests.at(-1))),
    tile("Median answer within", quantile(now.samples, 0.5)),
    tile("95 % of answers within", quantile(now.samples, 0.95)),
    tile("Records enrolled", count(records("enrol"))),
    tile("Searched", count(records("search"))),
    tile("Verified", count(records("verify"))),
    tile("Records in a batch", batches ? (sum(now.samples, "xnn_batch_records_sum") / batches).toFixed(1) : "none yet"),
    tile("Refused", count(sum(now.samples, "xnn_refusals_total"))),
  ];
  return tiles;
}

function tile(title, value, more = null) {
  return h("div", { class: "tile" }, h("span", {}, title), h("b", {}, value), more);
}

function sum(samples, name, fits = () => true) {
  return samples.filter((s) => s.name === name && fits(s.labels)).reduce((total, s) => total + s.value, 0);
}

/** Return the upper end of the bucket in which a share of all answers lies. */
function quantile(samples, share) {
  const buckets = new Map();
  for (const { labels, value } of samples.filter((s) => s.name === "xnn_request_seconds_bucket")) {
    const end = labels.le === "+Inf" ? Infinity : Number(labels.le);
    buckets.set(end, (buckets.get(end) ?? 0) + value);
  }
  const ends = [...buckets].sort(([a], [b]) => a - b);
  const all = ends.at(-1)?.[1] ?? 0;
  if (!all) return "none yet";
  const [end] = ends.find(([, number]) => number >= share * all);
  return Number.isFinite(end) ? ms(1000 * end) : "more than 30 s";
}
