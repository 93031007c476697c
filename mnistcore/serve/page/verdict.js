// What the network says of a drawing: the digit, how sure it is, and the pixels it went by.

import { percent } from "./numbers.js";
import { normalised, showGrey, showSigned } from "./pixels.js";

const SURE = 0.9;
const PERHAPS = 0.5;

/** The class with the largest probability, and a few words about the size of it. */
export function verdict(probabilities, classes) {
  const order = probabilities.map((_, index) => index).sort((a, b) => probabilities[b] - probabilities[a]);
  const [first, second] = order;
  const share = percent(probabilities[first]).replace(">", "over ");
  if (probabilities[first] >= SURE) return { name: classes[first], words: `${share} sure` };
  const rival = `${classes[second]} (${percent(probabilities[second], 0)})`;
  const words = probabilities[first] >= PERHAPS ? `${share}, or ${rival}` : `a guess; or ${rival}`;
  return { name: classes[first], words };
}

export function showVerdict(digit, words, found) {
  digit.textContent = found?.name ?? "?";
  digit.toggleAttribute("data-empty", !found);
  digit.toggleAttribute("data-long", (found?.name.length ?? 1) > 2);
  words.textContent = found?.words ?? "";
}

/** Show the image and the pixels for and against; null leaves both dark. */
export function showLooks({ seen, saliency, caption }, answer, name, shape = [28, 28]) {
  const empty = new Array(shape[0] * shape[1]).fill(0);
  showGrey(seen, answer?.image.flat() ?? empty, shape[1]);
  showSigned(saliency, answer ? normalised(answer.saliency.flat()) : empty, shape[1], 0.7);
  caption.textContent = answer ? `For and against ${name}` : "For and against";
}
