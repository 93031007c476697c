// The tab Race.

import { post } from "./api.js";
import { listen } from "./events.js";
import { duration, short } from "./numbers.js";

const EPOCH = 60_000; // images

const at = (id) => document.getElementById(id);

export class Race {
  #lanes = [];
  #close = null;

  constructor() {
    at("race-start").addEventListener("click", () => this.#start());
    at("race-log").addEventListener("change", () => this.#show());
    this.#show();
  }

  async #start() {
    at("race-error").hidden = true;
    at("race-start").disabled = true;
    try {
      const { id } = await post("/api/race", { rungs: null });
      this.#close?.();
      this.#close = listen(`/api/race/${id}/events`, { progress: (report) => this.#progress(report) });
    } catch (error) {
      at("race-error").textContent = error.message;
      at("race-error").hidden = false;
      at("race-start").disabled = false;
    }
  }

  #progress({ lanes }) {
    this.#lanes = lanes;
    this.#show();
    if (!lanes.every((lane) => lane.done)) return;
    this.#close();
    at("race-start").disabled = false;
    at("race-start").lastElementChild.textContent = "Race again";
    at("race-spoken").textContent = lanes.map(({ name, samples_per_second: rate }) => `${name}: ${short(rate)} images a second`).join("; ");
  }

  #show() {
    const lanes = this.#lanes;
    at("race-empty").hidden = lanes.length > 0;
    at("lane-heads").hidden = lanes.length === 0;
    while (at("lanes").children.length < lanes.length) at("lanes").append(makeLane());
    const rates = lanes.map((lane) => lane.samples_per_second ?? 0);
    const fastest = Math.max(...rates);
    lanes.forEach((lane, index) => {
      const row = at("lanes").children[index];
      row.classList.toggle("first", rates[index] > 0 && rates[index] === fastest);
      row.querySelector(".name").textContent = lane.name;
      row.querySelector(".rate").textContent = rates[index] ? short(rates[index]) : "–";
      row.querySelector(".epoch").textContent = rates[index] ? duration(EPOCH / rates[index]) : "";
      row.querySelector(".times").textContent = times(rates[index], rates[0], index);
      row.querySelector(".runner").style.transform = `translateX(${(100 * this.#share(rates[index], fastest) - 100).toFixed(2)}%)`;
    });
  }

  #share(rate, fastest) {
    if (!rate) return 0;
    return at("race-log").checked ? Math.log10(1 + rate) / Math.log10(1 + fastest) : rate / fastest;
  }
}

function times(rate, first, index) {
  if (!rate || !first || index === 0) return index === 0 && rate ? "1×" : "";
  const factor = rate / first;
  return `${factor < 10 ? factor.toFixed(1) : short(factor)}×`;
}

function makeLane() {
  const lane = document.createElement("li");
  lane.className = "lane";
  lane.innerHTML = `<span class="name"></span><div class="road" aria-hidden="true"><div class="runner"></div></div>
    <span class="rate"></span><span class="epoch"></span><span class="times"></span>`;
  return lane;
}
