// Computes a generator, in a worker: a list of layers, as ganvas/export/layers.py writes them.
//
// Linear layers and convolutions are products of two matrices whose rows are multiplied with each other.

"use strict";

/**
 * @typedef {(
 *   {kind: "linear", ins: number, outs: number} | {kind: "reshape", channels: number, height: number, width: number} |
 *   {kind: "convolution", outs: number, kernel: number[], stride: number[], padding: number[]} |
 *   {kind: "transposed", outs: number, kernel: number[], stride: number[], padding: number[], more: number[]} |
 *   {kind: "affine" | "relu" | "tanh"} | {kind: "enlarge", side: number[]} | {kind: "sum", branches: Layer[][]}
 * )} Layer
 * @typedef {Extract<Layer, {kind: "convolution"}>} Convolution
 * @typedef {Extract<Layer, {kind: "transposed"}>} Transposed
 * @typedef {{data: Float32Array, channels: number, height: number, width: number}} Maps  channel by channel
 */

/** Hands out the numbers of a network, in the order in which its layers use them. */
class Supply {
  /** @param {Float32Array} values */
  constructor(values) {
    this.values = values;
    this.at = 0;
  }

  /** @param {number} count */
  take(count) {
    return this.values.subarray(this.at, (this.at += count));
  }
}

/**
 * a [m, k] times the transpose of b [n, k]: [m, n].
 *
 * Three rows of a and three of b at a time, as then nine products need six numbers from memory. At the edges the last row
 * stands in for those that are missing.
 * @param {Float32Array} a
 * @param {Float32Array} b
 * @param {number} m
 * @param {number} n
 * @param {number} k
 */
function product(a, b, m, n, k) {
  const c = new Float32Array(m * n);
  for (let i = 0; i < m; i += 3) {
    const i1 = Math.min(i + 1, m - 1), i2 = Math.min(i + 2, m - 1);
    const a0 = i * k, a1 = i1 * k, a2 = i2 * k;
    for (let j = 0; j < n; j += 3) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1);
      const b0 = j * k, b1 = j1 * k, b2 = j2 * k;
      let s00 = 0, s01 = 0, s02 = 0, s10 = 0, s11 = 0, s12 = 0, s20 = 0, s21 = 0, s22 = 0;
      for (let l = 0; l < k; l++) {
        const x0 = a[a0 + l], x1 = a[a1 + l], x2 = a[a2 + l];
        const y0 = b[b0 + l], y1 = b[b1 + l], y2 = b[b2 + l];
        s00 += x0 * y0; s01 += x0 * y1; s02 += x0 * y2;
        s10 += x1 * y0; s11 += x1 * y1; s12 += x1 * y2;
        s20 += x2 * y0; s21 += x2 * y1; s22 += x2 * y2;
      }
      c[i * n + j] = s00; c[i * n + j1] = s01; c[i * n + j2] = s02;
      c[i1 * n + j] = s10; c[i1 * n + j1] = s11; c[i1 * n + j2] = s12;
      c[i2 * n + j] = s20; c[i2 * n + j1] = s21; c[i2 * n + j2] = s22;
    }
  }
  return c;
}

/** Each pixel of the result is the product of the kernel with the patch of `x` around it. @param {Maps} x @param {Convolution} layer */
function convolve(x, { outs, kernel: [rows, columns], stride, padding }, /** @type {Supply} */ matrices) {
  const height = Math.floor((x.height + 2 * padding[0] - rows) / stride[0]) + 1;
  const width = Math.floor((x.width + 2 * padding[1] - columns) / stride[1]) + 1;
  const size = x.channels * rows * columns;
  const patches = new Float32Array(height * width * size);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x0 = 0; x0 < width; x0++) {
      for (let channel = 0; channel < x.channels; channel++) {
        for (let row = 0; row < rows; row++) {
          const from = y * stride[0] + row - padding[0];
          for (let column = 0; column < columns; column++, to++) {
            const at = x0 * stride[1] + column - padding[1];
            if (from >= 0 && from < x.height && at >= 0 && at < x.width) {
              patches[to] = x.data[(channel * x.height + from) * x.width + at];
            }
          }
        }
      }
    }
  }
  return { data: product(matrices.take(outs * size), patches, outs, height * width, size), channels: outs, height, width };
}

/** Each pixel of `x` times the kernel is a patch of the result; they are added up where they overlap. @param {Maps} x @param {Transposed} layer */
function spread(x, { outs, kernel: [rows, columns], stride, padding, more }, /** @type {Supply} */ matrices) {
  const height = (x.height - 1) * stride[0] - 2 * padding[0] + rows + more[0];
  const width = (x.width - 1) * stride[1] - 2 * padding[1] + columns + more[1];
  const count = x.height * x.width;
  const pixels = new Float32Array(count * x.channels);
  for (let channel = 0; channel < x.channels; channel++) {
    for (let i = 0; i < count; i++) pixels[i * x.channels + channel] = x.data[channel * count + i];
  }
  const size = outs * rows * columns;
  const patches = product(matrices.take(size * x.channels), pixels, size, count, x.channels);
  const data = new Float32Array(outs * height * width);
  let from = 0;
  for (let out = 0; out < outs; out++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let y = 0; y < x.height; y++) {
          const to = y * stride[0] + row - padding[0];
          for (let x0 = 0; x0 < x.width; x0++, from++) {
            const at = x0 * stride[1] + column - padding[1];
            if (to >= 0 && to < height && at >= 0 && at < width) data[(out * height + to) * width + at] += patches[from];
          }
        }
      }
    }
  }
  return { data, channels: outs, height, width };
}

/** @param {Maps} x @param {number[]} side */
function enlarge(x, [height, width]) {
  const data = new Float32Array(x.channels * height * width);
  for (let i = 0; i < data.length; i++) {
    const [channel, y, at] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    const [from, column] = [Math.floor((y * x.height) / height), Math.floor((at * x.width) / width)];
    data[i] = x.data[(channel * x.height + from) * x.width + column];
  }
  return { data, channels: x.channels, height, width };
}

/** Every number as a function of itself and of its channel. @param {Maps} x @param {(value: number, channel: number) => number} change */
function each(x, change) {
  const size = x.height * x.width;
  return { ...x, data: x.data.map((value, i) => change(value, Math.floor(i / size))) };
}

/** @param {Maps} x @param {Float32Array} biases */
function shifted(x, biases) {
  return each(x, (value, channel) => value + biases[channel]);
}

/** @param {Maps} x @param {Layer[]} layers @param {Supply} matrices @param {Supply} vectors @returns {Maps} */
function compute(x, layers, matrices, vectors) {
  for (const layer of layers) {
    if (layer.kind === "linear") {
      const data = product(matrices.take(layer.outs * layer.ins), x.data, layer.outs, 1, layer.ins);
      x = shifted({ data, channels: layer.outs, height: 1, width: 1 }, vectors.take(layer.outs));
    } else if (layer.kind === "reshape") {
      x = { data: x.data, channels: layer.channels, height: layer.height, width: layer.width };
    } else if (layer.kind === "convolution") {
      x = shifted(convolve(x, layer, matrices), vectors.take(layer.outs));
    } else if (layer.kind === "transposed") {
      x = shifted(spread(x, layer, matrices), vectors.take(layer.outs));
    } else if (layer.kind === "affine") {
      const [scales, shifts] = [vectors.take(x.channels), vectors.take(x.channels)];
      x = each(x, (value, channel) => value * scales[channel] + shifts[channel]);
    } else if (layer.kind === "enlarge") {
      x = enlarge(x, layer.side);
    } else if (layer.kind === "sum") {
      const [first, ...others] = layer.branches.map((branch) => compute(x, branch, matrices, vectors));
      for (const other of others) other.data.forEach((value, i) => void (first.data[i] += value));
      x = first;
    } else {
      x = each(x, layer.kind === "relu" ? (value) => Math.max(value, 0) : Math.tanh);
    }
  }
  return x;
}

/** The colours of an image whose numbers are from -1 to 1, as a canvas wants them. @param {Maps} x */
function colours(x) {
  const count = x.height * x.width;
  const pixels = new Uint8ClampedArray(4 * count).fill(255); // rounds and clamps
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = (x.data[(c % x.channels) * count + i] + 1) * 127.5;
  }
  return pixels;
}

/** @type {{layers: Layer[], matrices: Float32Array, vectors: Float32Array}} */
let network;

// The network comes first, then latents, one after the other.
self.onmessage = ({ data: message }) => {
  if (!(message instanceof Float32Array)) {
    network = message;
    return;
  }
  const latent = { data: message, channels: message.length, height: 1, width: 1 };
  const pixels = colours(compute(latent, network.layers, new Supply(network.matrices), new Supply(network.vectors)));
  self.postMessage(pixels, { transfer: [pixels.buffer] });
};
