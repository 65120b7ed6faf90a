// Raw pixels on a canvas.

/** @typedef {import("./api.js").Frame} Frame */

/**
 * The pixels of a frame as an image with four channels.
 * @param {{width: number, height: number, channels: number, pixels: Uint8Array}} frame
 */
export function toImageData({ width, height, channels, pixels }) {
  const image = new ImageData(width, height);
  if (channels === 4) {
    image.data.set(pixels);
    return image;
  }
  const words = new Uint32Array(image.data.buffer); // little-endian, as on all machines that run browsers: ABGR
  const opaque = 0xff000000;
  if (channels === 1) {
    for (let i = 0; i < words.length; i++) words[i] = opaque | (pixels[i] * 0x010101);
  } else {
    for (let i = 0, j = 0; i < words.length; i++, j += 3) {
      words[i] = opaque | (pixels[j + 2] << 16) | (pixels[j + 1] << 8) | pixels[j];
    }
  }
  return image;
}

/**
 * Show a frame on a canvas, which gets its size in pixels; CSS decides how large it looks.
 * @param {HTMLCanvasElement} canvas
 * @param {Frame} frame
 */
export function draw(canvas, frame) {
  if (canvas.width !== frame.width) canvas.width = frame.width;
  if (canvas.height !== frame.height) canvas.height = frame.height;
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(toImageData(frame), 0, 0);
}
