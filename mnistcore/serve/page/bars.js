// The probabilities as bars, one row for each class, with a second bar while two models are compared.

import { percent } from "./numbers.js";

/** Make the rows for a model's classes. */
export function makeBars(list, classes) {
  list.replaceChildren(...classes.map(makeRow));
}

function makeRow(name) {
  const row = document.createElement("li");
  row.classList.toggle("long", name.length > 2);
  const tracks = element("span", "tracks");
  tracks.append(track("mine"), track("theirs"));
  row.append(element("span", "name", name), tracks, element("span", "share", "–"));
  row.querySelector(".track.theirs").hidden = true;
  return row;
}

function track(kind) {
  const track = element("span", `track ${kind}`);
  track.append(element("span", "bar"));
  return track;
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

/**
 * Show one model's probabilities; null empties the bars. Another's are beside them: a Map by the
 * names of its classes, which may be others, or in another order.
 */
export function showBars(list, probabilities, others = null) {
  const top = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
  [...list.children].forEach((row, index) => {
    const share = probabilities?.[index] ?? 0;
    const name = row.querySelector(".name").textContent;
    row.classList.toggle("likeliest", index === top);
    setBar(row.querySelector(".mine .bar"), share);
    row.querySelector(".track.theirs").hidden = !others;
    setBar(row.querySelector(".theirs .bar"), others?.get(name) ?? 0);
    row.querySelector(".share").textContent = probabilities ? (share < 0.0005 ? "0%" : percent(share)) : "–";
  });
}

function setBar(bar, share) {
  bar.style.transform = `scaleX(${share.toFixed(4)})`;
}
