// Where everything of a network's picture lies: the input image, each hidden layer as a block of
// cells, and the outputs. Wide screens read it from left to right, narrow ones from top to bottom.

const WIDE = 640; // pixels from which on it is drawn from left to right
const HEIGHT = 392; // of the wide drawing
const GAP = 56; // between two layers of the narrow drawing
const OUTPUT = 26; // the side of an output's cell, at least

/**
 * @param {number} width of the canvas in pixels
 * @param {number[]} sizes units of each layer after the input
 * @param {[number, number]} shape rows and columns of the input image
 * @returns {{width, height, wide, image, blocks}} rectangles; blocks also have columns and cell
 */
export function layOut(width, sizes, shape = [28, 28]) {
  const wide = width >= WIDE;
  return wide ? fromLeft(width, sizes, shape) : fromTop(width, sizes, shape);
}

function fromLeft(width, sizes, shape) {
  const pixel = Math.max(4, Math.floor(Math.min(width / 5, 224) / shape[1]));
  const image = { x: 0, width: pixel * shape[1], height: pixel * shape[0], cell: pixel, columns: shape[1] };
  const room = (width - image.width - 90) / Math.max(1, sizes.length - 1);
  const blocks = sizes.map((size, at) => (at === sizes.length - 1 ? outputColumns(size) : block(size, 0.55 * room, 0.86 * HEIGHT, true)));
  const gap = (width - 64 - image.width - sum(blocks, "width")) / blocks.length;
  let x = image.width + gap;
  for (const placed of blocks) {
    placed.x = x;
    placed.y = (HEIGHT - placed.height) / 2;
    x += placed.width + gap;
  }
  image.y = (HEIGHT - image.height) / 2;
  return { width, height: HEIGHT, wide: true, image, blocks };
}

function fromTop(width, sizes, shape) {
  const pixel = Math.floor((0.5 * width) / shape[1]);
  const image = { y: 22, width: pixel * shape[1], height: pixel * shape[0], cell: pixel, columns: shape[1] };
  const blocks = sizes.map((size, at) => (at === sizes.length - 1 ? outputRows(size, width) : block(size, 0.94 * width, 190, false)));
  let y = image.y + image.height + GAP;
  for (const placed of blocks) {
    placed.x = (width - placed.width) / 2;
    placed.y = y;
    y += placed.height + GAP;
  }
  image.x = (width - image.width) / 2;
  return { width, height: y - GAP + 24, wide: false, image, blocks };
}

/** The largest cells with which a layer fits into a box, and fills its height or its width. */
function block(size, width, height, tall) {
  let cell = Math.min(20, Math.floor(Math.sqrt((width * height) / size)));
  while (cell > 2 && Math.ceil(size / Math.floor(width / cell)) * cell > height) cell -= 1;
  cell = Math.max(2, cell);
  const most = Math.max(1, Math.floor(width / cell));
  const lines = tall ? Math.ceil(size / Math.floor(height / cell)) : Math.ceil(size / most);
  const columns = tall ? Math.min(most, lines) : Math.ceil(size / lines);
  return cells(size, columns, cell);
}

/** A column of cells; several where there are many classes. */
function outputColumns(size) {
  const columns = Math.ceil((size * OUTPUT) / HEIGHT);
  return cells(size, columns, Math.min(38, Math.floor(HEIGHT / Math.ceil(size / columns))));
}

/** A row of cells, or several. */
function outputRows(size, width) {
  const columns = Math.min(size, Math.floor(width / OUTPUT));
  return cells(size, columns, Math.min(32, Math.floor(width / columns)));
}

const cells = (size, columns, cell) => ({ cell, columns, size, width: columns * cell, height: Math.ceil(size / columns) * cell });
const sum = (items, key) => items.reduce((total, item) => total + item[key], 0);

/** The middle of a unit's or a pixel's cell. */
export function middleOf(block, index) {
  return {
    x: block.x + (index % block.columns + 0.5) * block.cell,
    y: block.y + (Math.floor(index / block.columns) + 0.5) * block.cell,
  };
}

/** Which layer and unit lie under a point; null where none does. The input image is layer 0. */
export function unitAt(layout, x, y) {
  const rectangles = [layout.image, ...layout.blocks];
  for (const [layer, block] of rectangles.entries()) {
    const column = Math.floor((x - block.x) / block.cell);
    const row = Math.floor((y - block.y) / block.cell);
    const unit = row * block.columns + column;
    const inside = column >= 0 && column < block.columns && row >= 0;
    if (inside && y < block.y + block.height && unit < (block.size ?? Infinity)) return { layer, unit };
  }
  return null;
}
