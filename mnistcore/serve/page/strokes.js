// Strokes of a pen in units of the pad's side, and how they become ink. The pad on the screen and
// the picture that is sent are painted by the same function.

/** @typedef {{x: number, y: number, pressure: number}} Point */

const SIDE = 112; // pixels of the picture that is sent: four for each that the network reads
const STEADY = 0.55; // how far a new point pulls the pen: less is smoother, and lags more

/** The pen follows the hand with a little inertia, which takes the tremble out of a line. */
export function follow(stroke, point) {
  const last = stroke.at(-1);
  if (!last) return stroke.push(point);
  const next = {
    x: last.x + STEADY * (point.x - last.x),
    y: last.y + STEADY * (point.y - last.y),
    pressure: last.pressure + STEADY * (point.pressure - last.pressure),
  };
  return stroke.push(next);
}

/** Paint strokes, from the given point of the last one on, into a square of that side. */
export function paintStrokes(context, side, strokes, thickness, from = 0) {
  context.lineCap = "round";
  context.lineJoin = "round";
  strokes.forEach((stroke, index) => paintStroke(context, side, stroke, thickness, index === strokes.length - 1 ? from : 0));
}

function paintStroke(context, side, stroke, thickness, from) {
  if (stroke.length === 1) return paintDot(context, side, stroke[0], thickness);
  for (let index = Math.max(1, from); index < stroke.length; index += 1) {
    // A curve from the middle of one pair of points to the middle of the next is smooth.
    const [before, here] = [stroke[index - 1], stroke[index]];
    const start = index === 1 ? before : middle(stroke[index - 2], before);
    const end = index === stroke.length - 1 ? here : middle(before, here);
    context.beginPath();
    context.lineWidth = side * widthAt(before, thickness);
    context.moveTo(side * start.x, side * start.y);
    context.quadraticCurveTo(side * before.x, side * before.y, side * end.x, side * end.y);
    context.stroke();
  }
}

function paintDot(context, side, point, thickness) {
  context.beginPath();
  context.arc(side * point.x, side * point.y, (side * widthAt(point, thickness)) / 2, 0, 2 * Math.PI);
  context.fill();
}

const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
const widthAt = (point, thickness) => thickness * (0.5 + point.pressure);

/** The strokes as a PNG, black on white. */
export function asPicture(strokes, thickness) {
  const canvas = document.createElement("canvas");
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SIDE, SIDE);
  context.fillStyle = "#000";
  context.strokeStyle = "#000";
  paintStrokes(context, SIDE, strokes, thickness);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
