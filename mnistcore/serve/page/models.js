// The models that the server knows, and which of them are chosen.

import { get } from "./api.js";
import { layersInWords, percent, whole } from "./numbers.js";
import { recall, remember } from "./theme.js";

const STORED = "mnistcore-model";

/** Events: change, when another model is chosen or the list is new. */
export class Models extends EventTarget {
  list = [];
  #select;
  #other;

  constructor(select, other) {
    super();
    this.#select = select;
    this.#other = other;
    select.addEventListener("change", () => {
      remember(STORED, select.value);
      this.dispatchEvent(new Event("change"));
    });
    other.addEventListener("change", () => this.dispatchEvent(new Event("change")));
  }

  get chosen() {
    return this.#find(this.#select.value);
  }

  get compared() {
    return this.#find(this.#other.value);
  }

  /** Ask the server for its list; choose the given model, or the one chosen before. */
  async load(id = null) {
    const before = [id, this.#select.value, recall(STORED)];
    const other = this.#other.value;
    this.list = (await get("/api/models")).models;
    this.#select.replaceChildren(...this.list.map(asOption));
    this.#other.replaceChildren(new Option("no other", ""), ...this.list.map(asOption));
    this.#select.value = before.find((wanted) => wanted && this.#find(wanted)) ?? this.list[0]?.id ?? "";
    this.#other.value = this.#find(other) ? other : "";
    this.dispatchEvent(new Event("change"));
  }

  #find(id) {
    return this.list.find((model) => model.id === id) ?? null;
  }
}

function asOption({ id, name, kind }) {
  return new Option(kind === "job" ? `${name} (${id})` : name, id);
}

/** What there is to say about a model in one line. */
export function facts(model) {
  const parts = [layersInWords(model.layers), `${whole(model.parameters)} parameters`];
  if (model.test_accuracy !== null) parts.push(`${percent(model.test_accuracy, 2)} of the test images right`);
  return parts.join(" · ");
}
