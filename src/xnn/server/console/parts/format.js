/** Numbers and dates for people. */

const whole = new Intl.NumberFormat("en");
const date = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** 12345 -> "12,345 bytes"; from a million on in megabytes. */
export function bytes(count) {
  return count < 1e6 ? `${whole.format(count)} bytes` : `${(count / 1e6).toFixed(1)} MB`;
}

export function count(number) {
  return whole.format(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}

export function ms(milliseconds) {
  return milliseconds < 10 ? `${milliseconds.toFixed(1)} ms` : `${whole.format(Math.round(milliseconds))} ms`;
}

export function when(milliseconds) {
  return date.format(new Date(milliseconds));
}

/** 0.001 -> "1 in 1,000". */
export function rate(far) {
  return far > 0 ? `1 in ${whole.format(Math.round(1 / far))}` : "0";
}

export function score(value) {
  return typeof value === "number" ? value.toFixed(3) : "not told";
}
