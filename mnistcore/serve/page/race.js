// The tab Race: the same training step, written in several ways, side by side.

import { BUSY, get, post } from "./api.js";
import { connection } from "./connection.js";
import { listen } from "./events.js";
import { duration, short } from "./numbers.js";

const EPOCH = 60_000; // images
const TITLES = { none: "Start the race", compiling: "Getting ready …", racing: "Racing …", finished: "Race again", stopped: "Race again", failed: "Race again" };

const at = (id) => document.getElementById(id);
const runs = (state) => state === "compiling" || state === "racing";

export class Race {
  #rows = new Map(); // by the names of the lanes
  #lanes = [];
  #race = null; // the identifier of the one that goes on
  #close = () => {};

  constructor() {
    at("race-start").addEventListener("click", () => this.#start());
    at("race-stop").addEventListener("click", () => this.#stop());
    at("race-log").addEventListener("change", () => this.#show());
    connection.addEventListener("found", () => this.#again().catch(() => {}));
  }

  /** Ask who can race, and follow a race that goes on. */
  async load() {
    const shown = this.#race;
    const { lanes, races } = await get("/api/race");
    if (this.#rows.size === 0) this.#makeRows(lanes);
    const race = races.findLast(({ state }) => runs(state)) ?? races.at(-1);
    // If another one is followed meanwhile, the answer is older than it.
    if (race && race.id !== shown && shown === this.#race) this.#follow(race);
    return race;
  }

  /** The server is back, or another one is, which may give other races the same names. */
  async #again() {
    this.#close();
    this.#race = null;
    if (await this.load()) return;
    this.#lanes = [];
    this.#show();
    this.#setState({ state: "none" });
  }

  #makeRows(lanes) {
    for (const { name, default: races } of lanes) {
      const row = makeRow(name, races);
      this.#rows.set(name, row);
      at("lanes").append(row);
    }
  }

  async #start() {
    this.#complain("");
    const chosen = [...this.#rows].filter(([, row]) => row.querySelector("input").checked);
    try {
      this.#follow(await post("/api/race", { rungs: chosen.map(([name]) => name) }));
    } catch (error) {
      this.#complain(chosen.length ? error.message : "Choose at least one lane.");
      if (error.status === BUSY) await this.load().catch(() => {}); // show what goes on
    }
  }

  async #stop() {
    await post(`/api/race/${this.#race}/stop`).catch((error) => this.#complain(error.message));
  }

  #follow({ id, lanes, state }) {
    this.#close();
    this.#race = id;
    this.#lanes = [];
    this.#show();
    for (const [name, row] of this.#rows) row.querySelector("input").checked = lanes.includes(name);
    this.#setState({ state });
    const listeners = {
      progress: (report) => {
        this.#lanes = report.lanes;
        this.#show();
      },
      state: (report) => this.#setState(report),
    };
    this.#close = listen(`/api/race/${id}/events`, listeners, () => this.#again().catch(() => {}));
  }

  #setState({ state, message }) {
    at("race-start").disabled = runs(state);
    at("race-start").lastElementChild.textContent = TITLES[state];
    at("race-stop").hidden = !runs(state);
    for (const row of this.#rows.values()) row.querySelector("input").disabled = runs(state);
    if (runs(state)) return;
    this.#close();
    if (state === "failed") this.#complain(message);
    at("race-spoken").textContent = this.#lanes.map(({ name, samples_per_second: rate }) => `${name}: ${short(rate)} images a second`).join("; ");
  }

  #show() {
    const rates = new Map(this.#lanes.filter(({ samples }) => samples > 0).map((lane) => [lane.name, lane.samples_per_second]));
    const fastest = Math.max(...rates.values());
    const slowest = Math.min(...rates.values());
    for (const [name, row] of this.#rows) {
      const rate = rates.get(name);
      row.classList.toggle("first", rates.size > 1 && rate === fastest);
      row.querySelector(".rate").textContent = rate ? short(rate) : "–";
      row.querySelector(".epoch").textContent = rate ? duration(EPOCH / rate) : "";
      row.querySelector(".times").textContent = rate ? times(rate / slowest) : "";
      row.querySelector(".runner").style.transform = `translateX(${(100 * this.#share(rate ?? 0, fastest) - 100).toFixed(2)}%)`;
    }
  }

  #share(rate, fastest) {
    if (!rate) return 0;
    return at("race-log").checked ? Math.log10(1 + rate) / Math.log10(1 + fastest) : rate / fastest;
  }

  #complain(words) {
    at("race-error").textContent = words;
    at("race-error").hidden = !words;
  }
}

const times = (factor) => `${factor < 10 ? +factor.toFixed(1) : short(factor)}×`;

function makeRow(name, races) {
  const row = document.createElement("li");
  row.className = "lane";
  row.innerHTML = `<label class="check"><input type="checkbox"><span class="name"></span></label>
    <div class="road" aria-hidden="true"><div class="runner"></div></div>
    <span class="rate">–</span><span class="epoch"></span><span class="times"></span>`;
  row.querySelector(".name").textContent = name;
  row.querySelector("input").checked = races;
  return row;
}
