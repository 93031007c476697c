// The network as it reads a drawing: pixels, activations, outputs, and the strongest connections.

import { layOut, middleOf, unitAt } from "./diagram_layout.js";
import { percent } from "./numbers.js";
import { colour, theme } from "./theme.js";

export class Diagram {
  #canvas;
  #tip;
  #model = null;
  #answer = null;
  #layout = null;
  #under = null; // the unit under the pointer

  constructor(canvas, tip) {
    this.#canvas = canvas;
    this.#tip = tip;
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => this.#leave());
    theme.addEventListener("change", () => this.#paint());
    new ResizeObserver(() => this.#fit()).observe(canvas.parentElement);
  }

  /** Show a model without an answer. */
  setModel(model) {
    this.#model = model;
    this.#answer = null;
    this.#layout = null;
    this.#fit();
  }

  /** Show what /api/explain answered, or an idle network for null. */
  show(answer) {
    this.#answer = answer;
    this.#paint();
    this.#canvas.setAttribute("aria-label", this.#words());
  }

  #fit() {
    const width = this.#canvas.parentElement.clientWidth;
    if (!this.#model || width === 0) return;
    if (this.#layout?.width !== width) this.#layout = layOut(width, this.#model.layers.slice(1), this.#model.image_shape);
    const scale = Math.min(devicePixelRatio, 3);
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(this.#layout.height * scale);
    this.#canvas.style.height = `${this.#layout.height}px`;
    this.#paint();
  }

  #paint() {
    if (!this.#layout) return;
    const context = this.#canvas.getContext("2d");
    const scale = this.#canvas.width / this.#layout.width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.#layout.width, this.#layout.height);
    const colours = { ink: colour("--ink"), ground: colour("--cell"), muted: colour("--muted"), for: colour("--accent"), against: colour("--against") };
    paintImage(context, this.#layout.image, this.#answer?.image);
    this.#layout.blocks.forEach((block, at) => {
      const last = at === this.#layout.blocks.length - 1;
      const activations = this.#answer?.layers[at].activations;
      if (last) paintOutputs(context, block, this.#answer, this.#model.classes, colours, this.#layout.wide);
      else paintUnits(context, block, activations, colours);
    });
    if (this.#answer) this.#paintConnections(context, colours);
    paintTitles(context, this.#layout, this.#model, colours);
  }

  #paintConnections(context, colours) {
    const layers = [this.#layout.image, ...this.#layout.blocks];
    const strongest = new Map();
    for (const { layer, contribution } of this.#answer.connections) {
      strongest.set(layer, Math.max(strongest.get(layer) ?? 0, Math.abs(contribution)));
    }
    const lit = this.#answer.connections.some((connection) => this.#under && touches(connection, this.#under));
    const ascending = [...this.#answer.connections].sort((a, b) => Math.abs(a.contribution) - Math.abs(b.contribution));
    for (const connection of ascending) {
      const strength = Math.abs(connection.contribution) / (strongest.get(connection.layer) || 1);
      const dimmed = lit && !touches(connection, this.#under);
      context.globalAlpha = dimmed ? 0.06 : 0.12 + 0.68 * strength ** 1.5;
      context.lineWidth = 0.6 + 1.8 * strength;
      context.strokeStyle = connection.contribution > 0 ? colours.for : colours.against;
      const from = middleOf(layers[connection.layer], connection.from);
      const to = edgeOf(layers[connection.layer + 1], connection.to, this.#layout.wide);
      paintCurve(context, from, to, this.#layout.wide);
    }
    context.globalAlpha = 1;
  }

  #point(event) {
    if (!this.#layout) return;
    const box = this.#canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const found = unitAt(this.#layout, x, y);
    if (found?.layer === this.#under?.layer && found?.unit === this.#under?.unit) return;
    this.#under = found;
    this.#tip.hidden = !found;
    if (found) {
      this.#tip.textContent = this.#wordsFor(found);
      this.#tip.style.left = `${Math.min(x + 14, this.#layout.width - this.#tip.offsetWidth)}px`;
      this.#tip.style.top = `${y + 16}px`;
    }
    this.#paint();
  }

  #leave() {
    this.#under = null;
    this.#tip.hidden = true;
    this.#paint();
  }

  #wordsFor({ layer, unit }) {
    const { layers, image_shape: shape, classes } = this.#model;
    if (layer === 0) {
      const [row, column] = [Math.floor(unit / shape[1]), unit % shape[1]];
      return `Row ${row + 1}, column ${column + 1}${this.#answer ? `: ${Math.round(this.#answer.image[row][column])} of 255` : ""}`;
    }
    if (layer === layers.length - 1) {
      return `${classes[unit]}${this.#answer ? `: ${percent(this.#answer.probabilities[unit])}` : ""}`;
    }
    const activation = this.#answer?.layers[layer - 1].activations[unit];
    return `Layer ${layer}, unit ${unit + 1}${activation === undefined ? "" : `: ${activation.toFixed(2)}`}`;
  }

  #words() {
    if (!this.#answer) return "The network, waiting for a drawing";
    const hidden = this.#answer.layers.slice(0, -1).map(({ activations }, at) => {
      const active = activations.filter((value) => value > 0).length;
      return `in hidden layer ${at + 1}, ${active} of ${activations.length} units are active`;
    });
    return ["The network as it reads the drawing", ...hidden, `its answer is ${this.#answer.digit}`].join("; ");
  }
}

function touches(connection, { layer, unit }) {
  return (connection.layer === layer && connection.from === unit) || (connection.layer + 1 === layer && connection.to === unit);
}

function paintImage(context, image, rows) {
  context.fillStyle = "#000";
  context.beginPath();
  context.roundRect(image.x, image.y, image.width, image.height, 6);
  context.fill();
  rows?.forEach((row, down) =>
    row.forEach((value, right) => {
      if (value === 0) return;
      context.fillStyle = `rgb(${value} ${value} ${value})`;
      context.fillRect(image.x + right * image.cell, image.y + down * image.cell, image.cell, image.cell);
    }),
  );
}

function paintUnits(context, block, activations, colours) {
  const gap = block.cell > 6 ? 2 : block.cell > 3 ? 1 : 0;
  const largest = activations?.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  for (let unit = 0; unit < block.size; unit += 1) {
    const { x, y } = middleOf(block, unit);
    const side = block.cell - gap;
    const place = [x - side / 2, y - side / 2, side, side];
    context.fillStyle = colours.ground;
    fillCell(context, place);
    const value = activations?.[unit] ?? 0;
    if (value === 0) continue;
    context.globalAlpha = Math.min(1, 0.12 + (0.88 * Math.abs(value)) / largest);
    context.fillStyle = value > 0 ? colours.ink : colours.against;
    fillCell(context, place);
    context.globalAlpha = 1;
  }
}

function fillCell(context, [x, y, width, height]) {
  if (width < 6) return context.fillRect(x, y, width, height);
  context.beginPath();
  context.roundRect(x, y, width, height, 2.5);
  return context.fill();
}

function paintOutputs(context, block, answer, classes, colours, wide) {
  const top = answer ? answer.probabilities.indexOf(Math.max(...answer.probabilities)) : -1;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const radius = block.cell / 2 - 2;
  for (let unit = 0; unit < block.size; unit += 1) {
    const { x, y } = middleOf(block, unit);
    circle(context, x, y, radius, colours.ground);
    context.globalAlpha = answer?.probabilities[unit] ?? 0;
    circle(context, x, y, radius, colours.for);
    context.globalAlpha = 1;
    const lit = (answer?.probabilities[unit] ?? 0) > 0.55;
    context.fillStyle = lit ? colour("--accent-ink") : unit === top ? colours.ink : colours.muted;
    context.font = `600 ${Math.max(10, Math.round(radius))}px Figtree, system-ui, sans-serif`;
    context.fillText(classes[unit].slice(0, 2), x, y + 0.5);
    if (wide && answer && block.columns === 1) paintShare(context, x + block.cell / 2 + 8, y, answer.probabilities[unit], unit === top, colours);
  }
}

function paintShare(context, x, y, share, top, colours) {
  if (share < 0.005) return;
  context.textAlign = "left";
  context.font = `${top ? 600 : 400} 13px Figtree, system-ui, sans-serif`;
  context.fillStyle = top ? colours.ink : colours.muted;
  context.fillText(percent(share, 0), x, y + 0.5);
  context.textAlign = "center";
}

function circle(context, x, y, radius, fill) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
}

function paintCurve(context, from, to, wide) {
  context.beginPath();
  context.moveTo(from.x, from.y);
  const [right, down] = wide ? [(to.x - from.x) / 2, 0] : [0, (to.y - from.y) / 2];
  context.bezierCurveTo(from.x + right, from.y + down, to.x - right, to.y - down, to.x, to.y);
  context.stroke();
}

/** Where a connection reaches a unit: at the side that faces the layer before. */
function edgeOf(block, index, wide) {
  const { x, y } = middleOf(block, index);
  const half = block.cell / 2 - 2;
  return wide ? { x: x - half, y } : { x, y: y - half };
}

function paintTitles(context, layout, model, colours) {
  context.font = "500 12px Figtree, system-ui, sans-serif";
  context.fillStyle = colours.muted;
  context.textBaseline = "bottom";
  context.textAlign = "center";
  const [rows, columns] = model.image_shape;
  context.lineWidth = 4;
  context.strokeStyle = colour("--page");
  const title = (words, block) => {
    const place = [words, block.x + block.width / 2, block.y - 8];
    context.strokeText(...place); // keeps it readable where connections pass behind
    context.fillText(...place);
  };
  title(`${rows} × ${columns} pixels`, layout.image);
  layout.blocks.slice(0, -1).forEach((block) => title(`${block.size} units`, block));
}
