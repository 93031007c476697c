// What an evaluation shows: the confusion matrix, the first layer's weights, the digits that are wrong.

import { bytesOf, showGrey, showSigned } from "./pixels.js";

/** Make the table of ten by ten, or as many classes as there are. */
export function makeConfusion(table, classes) {
  const head = document.createElement("thead");
  head.append(row([corner(), ...classes.map((name) => heading(name, "col"))]));
  const body = document.createElement("tbody");
  body.append(...classes.map((name) => row([heading(name, "row"), ...classes.map(() => document.createElement("td"))])));
  table.replaceChildren(table.caption ?? document.createElement("caption"), head, body);
}

function corner() {
  const cell = document.createElement("td");
  cell.className = "corner";
  return cell;
}

function heading(text, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = text;
  return cell;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

/** Fill in the counts. The shade of a wrong cell grows with the root: few errors are to be seen. */
export function showConfusion(table, counts) {
  const wrong = Math.max(1, ...counts.flatMap((cells, label) => cells.filter((_, read) => read !== label)));
  counts.forEach((cells, label) => {
    const total = cells.reduce((sum, count) => sum + count, 0) || 1;
    cells.forEach((count, read) => {
      const cell = table.tBodies[0].rows[label].cells[read + 1];
      const share = label === read ? (count / total) ** 3 : Math.sqrt(count / wrong);
      cell.textContent = count || "";
      cell.className = label === read ? "right" : "wrong";
      cell.classList.toggle("dark", label === read && share > 0.5); // for its text to be readable
      cell.style.setProperty("--share", `${Math.round(100 * share)}%`);
    });
  });
}

/** Show a unit's weights as an image each: 128 is none, above speaks for the unit, below against. */
export function showWeights(holder, { count, shape, tiles }) {
  const bytes = bytesOf(tiles);
  const pixels = shape[0] * shape[1];
  fill(holder, count, () => document.createElement("canvas"));
  [...holder.children].forEach((canvas, unit) => {
    const tile = Array.from(bytes.subarray(unit * pixels, (unit + 1) * pixels), (byte) => (byte - 128) / 127);
    showSigned(canvas, tile, shape[1], 1.5); // the noise of the start fades
  });
}

/** Show digits that are read wrong, with what they are and what they are taken for. */
export function showWrong(list, wrong, classes, columns) {
  fill(list, wrong.length, makeWrong);
  wrong.forEach(({ label, predicted, image }, index) => {
    const [canvas, words] = list.children[index].children;
    showGrey(canvas, bytesOf(image), columns);
    words.replaceChildren(`${classes[label]} `, arrow(), ` ${classes[predicted]}`);
  });
}

function makeWrong() {
  const item = document.createElement("li");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  item.append(canvas, document.createElement("span"));
  return item;
}

function arrow() {
  const words = document.createElement("span");
  words.className = "as";
  words.textContent = "read as";
  return words;
}

/** Make or remove children until there are that many. */
function fill(holder, count, make) {
  while (holder.children.length > count) holder.lastChild.remove();
  while (holder.children.length < count) holder.append(make());
}
