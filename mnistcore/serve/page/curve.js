// A small chart of curves that grow while one looks at them. The vertical axis is logarithmic: a
// loss falls by factors, and so does the share of wrong answers behind an accuracy.

import { colour, theme } from "./theme.js";

const HEIGHT = 210;
const MARGIN = { top: 12, right: 12, bottom: 24, left: 50 };
const APART = 19; // pixels between two lines of the grid, at least
const MOST_POINTS = 1200; // of a series; beyond, every second one is dropped

/** How a value becomes a height, which values get a line, and how they are written. */
export const LOSS = {
  height: (value) => Math.log(Math.max(value, 1e-6)),
  ticks: [5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4, 1e-5],
  write: (value) => (value < 0.001 ? value.toExponential() : String(value)),
  precise: (value) => value.toPrecision(3),
};
export const ACCURACY = {
  height: (value) => -Math.log(Math.max(1 - value, 2e-4)),
  ticks: [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995],
  write: (value) => `${+(100 * value).toFixed(2)}%`,
  precise: (value) => `${(100 * value).toFixed(2)}%`,
};

export class Curve {
  #canvas;
  #scale;
  #series; // [{name, colour, points: [[samples, y], ...]}]
  #epochs = 1;
  #perEpoch = Infinity; // samples
  #pointer = null;
  #painting = false;

  /** @param {{name: string, colour: string}[]} series with the name of a style sheet's colour */
  constructor(canvas, scale, series) {
    this.#canvas = canvas;
    this.#scale = scale;
    this.#series = series.map((one) => ({ ...one, points: [] }));
    canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    theme.addEventListener("change", () => this.#plan());
    new ResizeObserver(() => this.#plan()).observe(canvas);
  }

  clear() {
    for (const series of this.#series) series.points = [];
    this.#plan();
  }

  /** Set the length of the horizontal axis, as soon as it is known. */
  setLength(epochs, perEpoch) {
    this.#epochs = epochs;
    this.#perEpoch = perEpoch ?? Infinity;
  }

  /** Add a point to the series of that number. */
  add(number, samples, y) {
    const series = this.#series[number];
    if (!Number.isFinite(y) || samples <= (series.points.at(-1)?.[0] ?? -1)) return;
    series.points.push([samples, y]);
    if (series.points.length > MOST_POINTS) series.points = series.points.filter((_, index) => index % 2 === 1);
    this.#plan();
  }

  /** How many points there are, and the last values in words. */
  describe(what) {
    const words = this.#series
      .filter(({ points }) => points.length)
      .map(({ name, points }) => `${name} ${this.#scale.precise(points.at(-1)[1])}`);
    this.#canvas.setAttribute("aria-label", words.length ? `${what}: ${words.join(", ")}` : `${what}: nothing yet`);
    this.#canvas.dataset.points = this.#series.reduce((total, { points }) => total + points.length, 0);
  }

  #point(x) {
    this.#pointer = x;
    this.#plan();
  }

  #plan() {
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => {
      this.#painting = false;
      this.#paint();
    });
  }

  #paint() {
    const width = this.#canvas.clientWidth;
    if (width === 0) return;
    const density = Math.min(devicePixelRatio, 3);
    this.#canvas.width = Math.round(width * density);
    this.#canvas.height = Math.round(HEIGHT * density);
    const context = this.#canvas.getContext("2d");
    context.scale(density, density);
    context.font = "500 12px Figtree, system-ui, sans-serif";
    const place = this.#placing(width);
    this.#paintGrid(context, place, width);
    for (const series of this.#series) paintLine(context, place, series);
    if (this.#pointer !== null) this.#paintReading(context, place, width);
  }

  /** Functions from values to pixels, and the ticks within the range. */
  #placing(width) {
    const heights = this.#series.flatMap(({ points }) => points.map(([, y]) => this.#scale.height(y)));
    const all = this.#scale.ticks.map(this.#scale.height).sort((a, b) => a - b);
    const [least, most] = heights.length ? [heights.reduce((a, b) => Math.min(a, b)), heights.reduce((a, b) => Math.max(a, b))] : [all.at(-8), all.at(-4)];
    const low = all.findLast((height) => height <= least) ?? least;
    const high = all.find((height) => height >= most && height > low) ?? most;
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    const y = (value) => MARGIN.top + inner.height * (1 - (this.#scale.height(value) - low) / (high - low || 1));
    const inside = this.#scale.ticks.filter((tick) => this.#scale.height(tick) >= low && this.#scale.height(tick) <= high);
    return {
      x: (samples) => MARGIN.left + (inner.width * samples) / (this.#epochs * this.#perEpoch),
      y,
      ticks: spaced(inside, y),
      samplesAt: (pixel) => (this.#epochs * this.#perEpoch * (pixel - MARGIN.left)) / inner.width,
    };
  }

  #paintGrid(context, place, width) {
    context.strokeStyle = colour("--line");
    context.fillStyle = colour("--muted");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of place.ticks) {
      const y = Math.round(place.y(tick)) + 0.5;
      line(context, MARGIN.left, y, width - MARGIN.right, y);
      context.fillText(this.#scale.write(tick), MARGIN.left - 8, y);
    }
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    const step = Math.max(1, Math.ceil(this.#epochs / Math.max(2, Math.floor(width / 55))));
    const inner = width - MARGIN.left - MARGIN.right;
    for (let epoch = 0; epoch <= this.#epochs; epoch += step) {
      context.fillText(epoch ? String(epoch) : "epoch 0", MARGIN.left + (inner * epoch) / this.#epochs, HEIGHT - 4);
    }
  }

  #paintReading(context, place, width) {
    const samples = place.samplesAt(this.#pointer);
    const found = this.#series
      .map(({ name, points }) => [name, points.reduce((best, point) => (Math.abs(point[0] - samples) < Math.abs((best?.[0] ?? Infinity) - samples) ? point : best), null)])
      .filter(([, point]) => point);
    if (!found.length) return;
    const x = Math.round(place.x(found[0][1][0])) + 0.5;
    context.strokeStyle = colour("--edge");
    line(context, x, MARGIN.top, x, HEIGHT - MARGIN.bottom);
    const words = found.map(([name, point]) => `${name} ${this.#scale.precise(point[1])}`).join("  ");
    const right = x > width / 2;
    context.textAlign = right ? "right" : "left";
    context.lineWidth = 4;
    context.strokeStyle = colour("--surface");
    context.strokeText(words, x + (right ? -8 : 8), MARGIN.top + 10);
    context.fillStyle = colour("--ink");
    context.fillText(words, x + (right ? -8 : 8), MARGIN.top + 10);
    context.lineWidth = 1;
  }
}

/** Those of the ticks that have room. */
function spaced(ticks, y) {
  const kept = [];
  for (const tick of ticks) if (!kept.length || Math.abs(y(tick) - y(kept.at(-1))) >= APART) kept.push(tick);
  return kept;
}

function paintLine(context, place, series) {
  if (series.points.length === 0) return;
  context.strokeStyle = context.fillStyle = colour(series.colour);
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.beginPath();
  for (const [x, y] of series.points) context.lineTo(place.x(x), place.y(y));
  context.stroke();
  context.beginPath();
  context.arc(place.x(series.points.at(-1)[0]), place.y(series.points.at(-1)[1]), 3.5, 0, 2 * Math.PI);
  context.fill();
  context.lineWidth = 1;
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
