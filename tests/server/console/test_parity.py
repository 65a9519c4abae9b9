"""The browser finds, aligns and sends what the device does, on real photographs.

Stated tolerances: landmarks 1e-3 px; crops differ by at most 1 of 255 in at most 0.1 % of their
values; z of the same crop by 1e-4 of its root mean square, where the front is not coupled.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Watched, packed, unpacked, watch
from PIL import Image
from playwright.sync_api import Browser

from xnn.device.bundle import DeviceBundle, load_detector
from xnn.faces.align import align
from xnn.faces.detection.detector import most_prominent
from xnn.faces.photograph import read_photograph

RAW_PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "raw_photos"
LANDMARKS_PX = 1e-3
CROP_SHARE = 1e-3
Z_SHARE = 1e-4

# Loads the modules as the worker does; `pack` gives bytes as base64.
PREPARE = """async () => {
  const { openModel, openNet } = await import('/console/face/runtime.js');
  const { FaceDetector, mostProminent } = await import('/console/face/detector.js');
  const { Front } = await import('/console/face/front.js');
  const { align } = await import('/console/face/align.js');
  const { openPicture } = await import('/console/face/picture.js');
  const { resized } = await import('/console/face/resize.js');
  const { freshNormals } = await import('/console/face/random.js');
  const get = async (name) => new Uint8Array(
    await (await fetch(`/console/files/${name}`)).arrayBuffer());
  const nets = {};
  for (const net of ['proposal', 'refinement', 'landmark']) {
    nets[net] = await openNet(await get(`detector-${net}.onnx`));
  }
  const { card } = JSON.parse(new TextDecoder().decode(await get('device.json')));
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const pack = (array) => {
    const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = '';
    for (const byte of view) text += String.fromCharCode(byte);
    return btoa(text);
  };
  window.xnn = {
    align, bytes, freshNormals, mostProminent, openPicture, pack, resized, card,
    detector: new FaceDetector(nets),
    front: new Front(await openModel(await get('front.onnx')), card),
  };
}"""

FIND = """async (file) => {
  const { align, bytes, detector, mostProminent, openPicture, pack } = window.xnn;
  const picture = await openPicture(new Blob([bytes(file)]));
  const { width, height } = picture;
  const faces = await detector.find(picture);
  const face = faces[mostProminent(faces, width, height)];
  return {
    width, height, number: faces.length, box: face.box, landmarks: face.landmarks,
    score: face.score, rgb: pack(picture.rgb), crop: pack(align(picture, face.landmarks)),
  };
}"""


@pytest.fixture(scope="module")
def url(serve_pages, bundles: Path) -> str:
    return serve_pages(bundles / "device")


@pytest.fixture(scope="module")
def prepared(chromium: Browser, url: str) -> Iterator[Watched]:
    watched = watch(chromium)
    watched.page.goto(url)
    watched.run(PREPARE)
    yield watched
    assert watched.complaints == []
    watched.page.context.close()


def photographs(orl_photos: Path) -> list[Path]:
    orl = [orl_photos / f"s{s}" / f"{shot}.pgm" for s in range(1, 41, 4) for shot in (1, 6)]
    return orl + sorted(RAW_PHOTOS.glob("*.jpg"))[:8]


def test_faces_are_found_and_aligned_as_on_a_device(
    prepared: Watched, bundles: Path, orl_photos: Path
) -> None:
    detector = load_detector(bundles / "device")
    for path in photographs(orl_photos):
        found = prepared.run(FIND, base64.b64encode(path.read_bytes()).decode())
        rgb = read_photograph(path).rgb
        np.testing.assert_array_equal(unpacked(found["rgb"], "u1", rgb.shape), rgb)
        faces = detector.find(rgb)
        chosen = most_prominent(faces, height=rgb.shape[0], width=rgb.shape[1])
        assert found["number"] == len(faces), path.name
        np.testing.assert_allclose(found["landmarks"], faces.landmarks[chosen], atol=LANDMARKS_PX)
        np.testing.assert_allclose(found["box"], faces.boxes[chosen], atol=LANDMARKS_PX)
        crop = unpacked(found["crop"], "u1", (112, 112, 3)).astype(int)
        away = np.abs(crop - align(rgb, faces.landmarks[chosen]))
        assert away.max() <= 1, path.name
        assert (away > 0).mean() <= CROP_SHARE, path.name


def test_the_front_sends_what_a_device_sends(
    prepared: Watched, front: DeviceBundle, people: dict[str, np.ndarray]
) -> None:
    crops = np.stack([shots[0] for shots in people.values()][:4])
    fresh = np.random.default_rng(0).standard_normal((len(crops), *front.card.fresh_shape))
    script = """async ([crop, fresh]) => {
      const { bytes, front, pack } = window.xnn;
      return pack(await front.send(bytes(crop), new Float32Array(bytes(fresh).buffer)));
    }"""
    shape = (front.card.m, front.card.e)
    for crop, numbers in zip(crops, fresh.astype(np.float32), strict=True):
        (wanted,) = front._session.run(None, {"crops": crop[None], "fresh": numbers[None]})
        found = unpacked(prepared.run(script, [packed(crop), packed(numbers)]), "<f4", shape)
        rms = np.sqrt(np.square(wanted).mean())
        assert np.abs(found - wanted[0]).max() <= Z_SHARE * rms


def test_each_capture_draws_noise_of_its_own(prepared: Watched) -> None:
    script = """async () => {
      const { front, freshNormals, pack } = window.xnn;
      const crop = new Uint8Array(112 * 112 * 3).fill(99);
      const sent = [pack(await front.send(crop)), pack(await front.send(crop))];
      return { sent, normals: pack(freshNormals(100001)) };
    }"""
    answer = prepared.run(script)
    assert answer["sent"][0] != answer["sent"][1]
    normals = unpacked(answer["normals"], "<f4", (100001,)).astype(np.float64)
    moments = [np.mean(normals**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.15)
    assert abs(np.mean(normals[0::2][:50000] * normals[1::2])) < 0.02


@pytest.mark.parametrize("scale", [2.0, 1.37, 0.5, 0.29])
def test_resizing_is_pillows(prepared: Watched, orl_photos: Path, scale: float) -> None:
    rgb = read_photograph(orl_photos / "s2" / "3.pgm").rgb
    rgb = np.stack([rgb[..., 0], rgb[::-1, ::-1, 0], 255 - rgb[..., 0]], axis=2)
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    wanted = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    script = """([data, width, height, scale]) => {
      const { bytes, pack, resized } = window.xnn;
      return pack(resized({ rgb: bytes(data), width, height }, scale).rgb);
    }"""
    found = prepared.run(script, [packed(rgb), rgb.shape[1], rgb.shape[0], scale])
    np.testing.assert_array_equal(unpacked(found, "u1", wanted.shape), wanted)


def test_what_is_no_picture_is_refused_in_words(prepared: Watched) -> None:
    script = """async (texts) => Promise.all(texts.map(async (text) => {
      try { await window.xnn.openPicture(new Blob([text])); return 'taken'; }
      catch (error) { return error.message; }
    }))"""
    words = prepared.run(
        script, ["", "hello", "P5 9 9 255\n12", "P5 0 0 255\n", "P6 2 2 65535\n" + "x" * 99]
    )
    assert all("picture" in text for text in words[:2]), words
    assert all("cut short" in text for text in words[2:]), words
