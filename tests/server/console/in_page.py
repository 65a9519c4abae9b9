"""JavaScript that tests run in the page."""

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

SEND = """async ([crop, fresh]) => {
  const { bytes, front, pack } = window.xnn;
  return pack(await front.send(bytes(crop), new Float32Array(bytes(fresh).buffer)));
}"""
