// The drawing area: mouse, pen, finger and keyboard.

import { follow, paintStrokes } from "./strokes.js";
import { colour, theme } from "./theme.js";

const STEP = 1 / 28; // how far an arrow key moves the pen
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Events: change, whenever there is more or less ink; end, when the pen is lifted. */
export class Pad extends EventTarget {
  strokes = [];
  thickness = 0.07;
  #canvas;
  #pointer = null; // the one that draws; others, such as a palm, are left alone
  #pen = { x: 0.5, y: 0.3, down: false, shown: false }; // of the keyboard

  constructor(canvas) {
    super();
    this.#canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => this.#lift(event));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#showPen(canvas.matches(":focus-visible")));
    canvas.addEventListener("blur", () => this.#showPen(false));
    theme.addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  get empty() {
    return this.strokes.length === 0;
  }

  undo() {
    this.#replace(this.strokes.slice(0, -1));
  }

  clear() {
    this.#replace([]);
  }

  setThickness(thickness) {
    this.thickness = thickness;
    if (this.empty) this.paint(); // the pen of the keyboard; nothing is drawn, and a picture stays
    else this.#changed();
  }

  /** Paint all strokes again, or only what has been added to the last one since a point. */
  paint(from = 0) {
    const context = this.#canvas.getContext("2d");
    const side = this.#canvas.width;
    context.strokeStyle = context.fillStyle = colour("--ink");
    if (from > 0 && !this.#pen.shown) return paintStrokes(context, side, this.strokes.slice(-1), this.thickness, from);
    context.clearRect(0, 0, side, side);
    paintStrokes(context, side, this.strokes, this.thickness);
    if (this.#pen.shown) this.#paintPen(context, side);
  }

  #replace(strokes) {
    if (this.#pointer !== null) return; // a stroke is being drawn
    this.strokes = strokes;
    this.#pen.down = false;
    this.#changed();
  }

  #fit() {
    const side = Math.round(this.#canvas.clientWidth * Math.min(devicePixelRatio, 3));
    if (side === 0 || side === this.#canvas.width) return;
    this.#canvas.width = this.#canvas.height = side;
    this.paint();
  }

  #changed() {
    this.paint();
    this.dispatchEvent(new Event("change"));
    this.dispatchEvent(new Event("end"));
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    // A mouse reports 0.5 as its pressure, and so do fingers here: their contact says little.
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? event.pressure : 0.5;
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, pressure };
  }

  #press(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pen.down = this.#pen.shown = false;
    this.strokes.push([this.#point(event)]);
    this.paint();
    this.dispatchEvent(new Event("change"));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const stroke = this.strokes.at(-1);
    const from = stroke.length;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const part of events.length ? events : [event]) follow(stroke, this.#point(part));
    this.paint(Math.max(1, from - 1));
    this.dispatchEvent(new Event("change"));
  }

  #lift(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    // The pen lagged behind the hand: it arrives now.
    if (event.type === "pointerup" && this.strokes.at(-1).length > 1) this.strokes.at(-1).push(this.#point(event));
    this.#changed();
  }

  #key(event) {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else if (event.key === " ") this.#toggle();
    else if (event.key in STEPS) this.#step(STEPS[event.key], event.shiftKey ? 3 : 1);
    else return;
    event.preventDefault();
  }

  #toggle() {
    this.#pen.down = !this.#pen.down;
    this.#pen.shown = true;
    if (this.#pen.down) this.strokes.push([this.#penPoint()]);
    this.#changed();
  }

  #step([right, down], steps) {
    this.#pen.x = Math.min(1, Math.max(0, this.#pen.x + right * steps * STEP));
    this.#pen.y = Math.min(1, Math.max(0, this.#pen.y + down * steps * STEP));
    this.#pen.shown = true;
    if (!this.#pen.down) return this.paint();
    this.strokes.at(-1).push(this.#penPoint());
    return this.#changed();
  }

  #penPoint() {
    return { x: this.#pen.x, y: this.#pen.y, pressure: 0.5 };
  }

  #showPen(shown) {
    this.#pen.shown = shown;
    if (!shown) this.#pen.down = false;
    this.paint();
  }

  #paintPen(context, side) {
    context.beginPath();
    context.lineWidth = side / 140;
    context.strokeStyle = colour("--accent");
    context.arc(side * this.#pen.x, side * this.#pen.y, (side * this.thickness) / 2 + side / 90, 0, 2 * Math.PI);
    context.stroke();
    if (this.#pen.down) {
      context.fillStyle = colour("--accent");
      context.fill();
    }
  }
}
