// Start the page.

import { connection } from "./connection.js";
import { Draw } from "./draw.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";

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
startTabs(document.querySelector('[role="tablist"]'), () => {});
draw.load().catch(() => {});
