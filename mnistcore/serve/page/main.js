// Start the page.

import { connection } from "./connection.js";
import { Draw } from "./draw.js";
import { Race } from "./race.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { Train } from "./train.js";

// The recipe "fast": 98 % within a second.
const FIRST = { layers: [256], learning_rate: 0.006, epochs: 3, label_smoothing: 0.1 };

const at = (id) => document.getElementById(id);

startTheme(at("theme"));
connection.addEventListener("lost", () => {
  at("offline").textContent = "The server does not answer. Is it still running? The page tries again by itself.";
  at("offline").hidden = false;
});
connection.addEventListener("found", () => {
  at("offline").hidden = true;
});

const draw = new Draw();
const train = new Train();
const race = new Race();
startTabs(document.querySelector('[role="tablist"]'), () => {});

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
  draw.load(detail.id === awaited ? detail.id : null).catch(() => {});
});
train.addEventListener("draw", async ({ detail }) => {
  await draw.load(detail.id).catch(() => {});
  at("tab-draw").click();
  at("pad").focus({ preventScroll: true });
});

draw.load().catch(() => {});
train.load().catch(() => {});
race.load().catch(() => {});
