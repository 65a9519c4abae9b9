// Copy the three files that the page needs out of node_modules into the package; see `make console`.
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const from = join(here, "node_modules", "onnxruntime-web");
const to = join(here, "..", "src", "xnn", "server", "console", "vendor");
const files = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const name of files) copyFileSync(join(from, "dist", name), join(to, name));
copyFileSync(join(here, "NOTICE.txt"), join(to, "NOTICE.txt"));
const { version } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
console.log(`onnxruntime-web ${version}: ${files.length} files in ${to}`);
