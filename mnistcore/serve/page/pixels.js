// Small images as canvases: grey pixels, and signed values in the two colours of for and against.

import { colour } from "./theme.js";

/** Show rows of grey values, 0 to 255, as white on black. */
export function showGrey(canvas, values, width) {
  const height = values.length / width;
  paint(canvas, width, height, (pixels) => {
    values.forEach((value, index) => pixels.set([value, value, value, 255], 4 * index));
  });
}

/**
 * Show values from -1 to 1: the colour says the sign, its strength the size. A power below 1 lifts
 * what is faint, one above 1 subdues it.
 */
export function showSigned(canvas, values, width, power) {
  const ground = components(colour("--cell"));
  const sides = [components(colour("--against")), components(colour("--accent"))];
  paint(canvas, width, values.length / width, (pixels) => {
    values.forEach((value, index) => {
      const side = sides[Number(value > 0)];
      const strength = Math.min(1, Math.abs(value)) ** power;
      for (let part = 0; part < 3; part += 1) {
        pixels[4 * index + part] = ground[part] + strength * (side[part] - ground[part]);
      }
      pixels[4 * index + 3] = 255;
    });
  });
}

/** Divide by the largest magnitude. */
export function normalised(values) {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  return values.map((value) => value / largest);
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function paint(canvas, width, height, fill) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  fill(image.data);
  context.putImageData(image, 0, 0);
}

/** Red, green and blue of "#rgb" or "#rrggbb". */
function components(hex) {
  const digits = hex.slice(1);
  const size = digits.length / 3;
  return [0, 1, 2].map((part) => parseInt(digits.slice(part * size, (part + 1) * size).padStart(2, digits[part]), 16));
}
