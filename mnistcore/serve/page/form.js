// The form of the tab Train: filled from what the server offers, read as what it takes.

import { layersInWords, whole } from "./numbers.js";

const at = (id) => document.getElementById(id);
const OWN = "own";
const NAMES = { mnist: "MNIST", synthetic: "Built-in digits" };
const WORDS = ["optimizer", "activation", "backend"];
const NUMBERS = ["batch_size", "threads", "learning_rate", "epochs", "dropout", "weight_decay", "label_smoothing", "seed"];
const CHECKS = ["batch_norm", "augment"];

export class Form {
  #optimizers = [];
  #networks = [];
  #offered = ""; // what it is filled from

  constructor() {
    at("network").addEventListener("change", () => this.#networkChosen());
    at("optimizer").addEventListener("change", () => {
      const chosen = this.#optimizers.find(({ name }) => name === at("optimizer").value);
      at("learning_rate").value = chosen.learning_rate;
    });
  }

  /** Fill in the choices and the defaults of GET /api/options, unless they are what is there. */
  fill(options) {
    const offered = JSON.stringify({ ...options, data: null, peak_gflops: null });
    if (offered === this.#offered) return; // what was chosen stays
    this.#offered = offered;
    this.#networks = options.networks;
    this.#optimizers = options.optimizers;
    const networks = options.networks.map(({ name }, index) => new Option(name, index));
    at("network").replaceChildren(...networks, new Option("my own …", OWN));
    choose("optimizer", options.optimizers.map(({ name }) => name));
    choose("activation", options.activations);
    choose("backend", options.backends);
    choose("threads", options.threads);
    at("threads").prepend(new Option("all", 0));
    choose("batch_size", options.batch_sizes);
    this.#setDefaults(options.defaults);
    const { layers, units, epochs } = options.limits;
    at("epochs").max = epochs;
    at("layers-hint").textContent = `At most ${layers} layers of ${whole(units)} units; empty for no hidden layer.`;
  }

  /** Say what is trained on; null before it is known. */
  describeData(data) {
    at("data-facts").textContent = data ? `${NAMES[data.name] ?? data.name}: ${whole(data.train)} images to learn from, ${whole(data.test)} to test.` : "";
    const inputs = data?.image_shape.reduce((product, side) => product * side, 1);
    this.#networks.forEach(({ name, layers }, index) => {
      const sizes = data ? [inputs, ...layers, data.classes.length] : layers;
      at("network").options[index].textContent = sizes.length ? `${name}: ${layersInWords(sizes)}` : name;
    });
  }

  /** What the form says, as POST /api/jobs takes it; raises an Error with what to mend. */
  read() {
    const said = { layers: this.#layers(), ...valuesOf(WORDS) };
    for (const name of NUMBERS) {
      const input = at(name);
      if (!input.validity.valid) {
        input.closest("details")?.setAttribute("open", "");
        input.focus();
        throw new Error(`${input.closest("label").textContent.trim()}: ${input.validationMessage}`);
      }
      if (input.value !== "") said[name] = Number(input.value);
    }
    for (const name of CHECKS) said[name] = at(name).checked;
    return said;
  }

  #layers() {
    if (at("network").value !== OWN) return this.#networks[at("network").value].layers;
    const words = at("layers").value.split(/[\s,–-]+/).filter(Boolean);
    if (!words.every((word) => /^\d+$/.test(word) && Number(word) > 0)) {
      at("layers").focus();
      throw new Error("Units of each hidden layer: write whole numbers, such as 128 64");
    }
    return words.map(Number);
  }

  #networkChosen() {
    const own = at("network").value === OWN;
    at("own-network").hidden = at("layers-hint").hidden = !own;
    if (own) at("layers").focus();
  }

  #setDefaults(defaults) {
    const index = this.#networks.findIndex(({ layers }) => String(layers) === String(defaults.layers));
    at("network").value = index < 0 ? OWN : index;
    at("layers").value = defaults.layers.join(" ");
    for (const name of [...WORDS, ...NUMBERS]) at(name).value = defaults[name];
    for (const name of CHECKS) at(name).checked = defaults[name];
  }
}

function valuesOf(names) {
  return Object.fromEntries(names.map((name) => [name, at(name).value]));
}

function choose(id, values) {
  at(id).replaceChildren(...values.map((value) => new Option(value, value)));
}
