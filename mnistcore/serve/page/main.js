// Start the page.

import { connection } from "./connection.js";
import { Draw } from "./draw.js";
import { Race } from "./race.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { Train } from "./train.js";

// The recipe "fast": 98 % in a second or two.
const FIRST = { layers: [256], learning_rate: 0.006, epochs: 3, label_smoothing: 0.1 };

const NOT_DRAWN = "The network is trained, but reads images or classes that cannot be drawn; the tab Train shows what it learned.";

const at = (id) => document.getElementById(id);

function notice(words) {
  at("notice").textContent = words;
  at("notice").hidden = !words;
}

/** Say what went wrong, unless it is that nobody answers, which is said already. */
function say(error) {
  if (error.status !== 0) notice(error.message);
}

startTheme(at("theme"));
connection.addEventListener("lost", () => notice("The server does not answer. Is it still running? The page tries again by itself."));
connection.addEventListener("found", () => notice(""));

const draw = new Draw();
const train = new Train();
const race = new Race();
// A network that is still being trained can be drawn with, and reads better and better.
// Another window may have begun something: what a tab shows is asked for when it is opened.
const tabs = { draw, train, race };
startTabs(document.querySelector('[role="tablist"]'), (tab) => tabs[tab].load().catch(say));
train.addEventListener("learned", ({ detail }) => draw.learned(detail.id));

// Without a network there is nothing to draw for: one is trained on the spot.
let awaited = null;
at("train-now").addEventListener("click", async () => {
  at("train-now").disabled = true;
  try {
    awaited = await train.start(FIRST);
    at("train-now-progress").hidden = false;
  } catch (error) {
    at("no-model-words").textContent = error.message;
    at("train-now").disabled = false;
  }
});
train.addEventListener("progress", ({ detail }) => {
  at("train-now-progress").value = detail.share;
});
train.addEventListener("over", ({ detail }) => {
  at("train-now").disabled = false;
  at("train-now-progress").hidden = true;
  if (detail.state === "failed") at("no-model-words").textContent = detail.message;
  if (detail.id === awaited && detail.state === "finished" && !detail.drawable) at("no-model-words").textContent = NOT_DRAWN;
  draw.load(detail.id === awaited ? detail.id : null).catch(() => {});
});
train.addEventListener("draw", async ({ detail }) => {
  await draw.load(detail.id).catch(() => {});
  at("tab-draw").click();
  at("pad").focus({ preventScroll: true });
});

train.load().catch(say);
