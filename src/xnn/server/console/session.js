/** What is known while somebody is logged in: the service, its bundle, the device's half. */

import { Api } from "./api.js";
import { openDeviceBundle } from "./bundle.js";
import { bytes } from "./parts/format.js";
import { compose } from "./wire/message.js";

const KEPT = "xnn-api-key";
// Half the bytes, where the student reads it as well; else every digit.
const PREFERRED = ["float16", "fixed32", "float32", "int8"];

export class Session {
  #device = null;

  constructor(api, info) {
    this.api = api;
    this.info = info; // of GET /v1/bundle
    this.int8 = false;
    this.dtype = PREFERRED.find((dtype) => info.dtypes.includes(dtype)) ?? info.dtypes[0];
    this.onload = () => {}; // told in words how far the device bundle is
  }

  /** Log in: any valid API key may ask for the bundle. `keep` stores it until the tab is closed. */
  static async open(key, keep) {
    const api = new Api(key);
    const info = await api.bundle();
    if (keep) sessionStorage.setItem(KEPT, key);
    return new Session(api, info);
  }

  /** Return the key that was kept on request, or null. */
  static kept() {
    return sessionStorage.getItem(KEPT);
  }

  /** Return { card, pipeline } of the device bundle; fetched and opened once, when first needed. */
  device() {
    this.#device ??= this.#openDevice().catch((error) => {
      this.#device = null; // so that it can be tried again
      this.onload("");
      throw error;
    });
    return this.#device;
  }

  /** Use the small front from now on, or the large one. */
  async chooseFront(int8) {
    this.int8 = int8;
    await this.#closeDevice();
  }

  /** Return a new message of records, ready for `api.records`. */
  compose(records) {
    const { scheme, bundle_id: bundleId, m, e } = this.info;
    return compose({ records, shape: [m, e], scheme, bundleId, dtype: this.dtype });
  }

  /** Forget everything. */
  async close() {
    sessionStorage.removeItem(KEPT);
    await this.#closeDevice();
  }

  async #openDevice() {
    this.onload("Fetching the device bundle…");
    const device = await openDeviceBundle(this.api, this.info, {
      int8: this.int8,
      onprogress: (total) => this.onload(`Fetching the device bundle: ${bytes(total)}`),
    });
    this.onload("");
    return device;
  }

  async #closeDevice() {
    const open = this.#device;
    this.#device = null;
    (await open?.catch(() => null))?.pipeline.close();
  }
}
