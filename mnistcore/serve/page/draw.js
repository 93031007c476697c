// The tab Draw: whatever is drawn is read while it is being drawn.

import { postPicture } from "./api.js";
import { makeBars, showBars } from "./bars.js";
import { connection } from "./connection.js";
import { Diagram } from "./diagram.js";
import { Latest } from "./latest.js";
import { Models, facts } from "./models.js";
import { Pad } from "./pad.js";
import { listenForPictures, toSend } from "./pictures.js";
import { asPicture } from "./strokes.js";
import { theme } from "./theme.js";
import { showLooks, showVerdict, verdict } from "./verdict.js";

const BETWEEN = 33; // milliseconds between two requests while one draws
const SILENCE = 700; // milliseconds without a new answer before it is spoken

const at = (id) => document.getElementById(id);

export class Draw {
  models = new Models(at("model"), at("other-model"));
  #pad = new Pad(at("pad"));
  #diagram = new Diagram(at("diagram"), at("diagram-tip"));
  #latest = new Latest(BETWEEN);
  #picture = null; // what was dropped or photographed, instead of strokes
  #taken = null; // a promise of the one that is being made ready
  #answer = null;
  #words = ""; // what is said, or about to be
  #speech = 0;

  constructor() {
    this.#pad.addEventListener("change", () => this.#drawn());
    this.models.addEventListener("change", () => this.#chosen());
    theme.addEventListener("change", () => this.#showLooks());
    connection.addEventListener("found", () => this.load().catch(() => {}));
    this.#listen();
  }

  /** Ask which models there are; choose the given one, or keep the choice. */
  load(id = null) {
    return this.models.load(id);
  }

  /** Read the drawing again, if it is the given model that is shown: it may have learned. */
  learned(id) {
    if (this.models.chosen?.id === id && at("draw").offsetParent) this.#read();
  }

  #listen() {
    at("undo").addEventListener("click", () => this.#pad.undo());
    at("clear").addEventListener("click", () => this.#clear());
    at("thickness").addEventListener("input", (event) => this.#pad.setThickness(event.target.value / 100));
    at("open").addEventListener("click", () => at("file").click());
    at("photograph").addEventListener("click", () => at("camera").click());
    const places = { area: at("draw"), frame: at("pad-frame"), inputs: [at("file"), at("camera")] };
    listenForPictures(places, (file) => this.#take(file));
  }

  #clear() {
    this.#pad.clear();
    at("pad").focus({ preventScroll: true });
  }

  #drawn() {
    this.#taken = null;
    this.#setPicture(null);
    at("undo").disabled = at("clear").disabled = this.#pad.empty;
    at("pad-invitation").hidden = !this.#pad.empty;
    this.#read();
  }

  async #take(file) {
    this.#pad.clear();
    const taken = (this.#taken = toSend(file));
    const picture = await taken.catch(() => null);
    if (taken !== this.#taken) return; // a stroke or another picture came meanwhile
    if (!picture) {
      if (this.models.chosen) this.#show(null, "The file cannot be read.", true);
      return;
    }
    this.#setPicture(picture);
    at("clear").disabled = false;
    at("pad-invitation").hidden = true;
    this.#read();
  }

  #setPicture(blob) {
    const image = at("pad-picture");
    if (this.#picture) URL.revokeObjectURL(image.src);
    this.#picture = blob;
    image.hidden = !blob;
    if (blob) image.src = URL.createObjectURL(blob);
  }

  #chosen() {
    const model = this.models.chosen;
    at("draw").classList.toggle("without-model", !model);
    at("no-model").hidden = Boolean(model);
    if (!model) return;
    at("model-facts").textContent = facts(model);
    makeBars(at("bars"), model.classes);
    this.#diagram.setModel(model);
    this.#read();
  }

  #read() {
    if (!this.models.chosen) return;
    if (this.#pad.empty && !this.#picture) {
      this.#latest.cancel();
      this.#show(null);
    } else {
      this.#latest.ask(() => this.#ask());
    }
  }

  async #ask() {
    const { chosen, compared } = this.models;
    const shown = this.#picture;
    const late = () => {
      const other = chosen !== this.models.chosen || compared !== this.models.compared;
      return other || shown !== this.#picture || (this.#pad.empty && !shown);
    };
    const picture = shown ?? (await asPicture(this.#pad.strokes, this.#pad.thickness));
    try {
      const [answer, other] = await Promise.all([
        postPicture(`/api/explain?model=${encodeURIComponent(chosen.id)}`, picture),
        compared && postPicture(`/api/predict?model=${encodeURIComponent(compared.id)}`, picture),
      ]);
      if (late()) return; // cleared, or something else is shown
      this.#show(answer.probabilities ? { ...answer, other, compared } : null, answer.reason);
    } catch (error) {
      if (!late()) this.#show(null, error.message, true);
    }
  }

  /** Show an answer, or why there is none: nothing that is a digit yet, or an error. */
  #show(answer, complaint = "", failed = false) {
    const { classes } = this.models.chosen;
    this.#answer = answer;
    const found = answer && verdict(answer.probabilities, classes);
    showVerdict(at("digit"), at("verdict-words"), found);
    if (!found) at("verdict-words").textContent = complaint || "Nothing drawn yet";
    at("verdict-words").classList.toggle("error", failed);
    this.#showOther(answer);
    this.#showLooks();
    showBars(at("bars"), answer?.probabilities ?? null, othersByName(answer));
    this.#diagram.show(answer && { ...answer, digit: found.name });
    at("timing").textContent = answer ? `The server read it in ${answer.milliseconds.toFixed(0)} ms` : "\u00a0";
    this.#speak(found ? `${found.name}, ${found.words}` : complaint);
  }

  #showOther(answer) {
    const { chosen, compared } = this.models;
    at("other-verdict").hidden = !compared;
    at("bars-legend").hidden = !compared;
    if (!compared) return;
    const other = answer?.other?.probabilities && verdict(answer.other.probabilities, answer.compared.classes);
    showVerdict(at("other-digit"), at("other-words"), other);
    at("legend-mine").textContent = chosen.name;
    at("legend-theirs").textContent = compared.name;
  }

  #showLooks() {
    const model = this.models.chosen;
    const looks = { seen: at("seen"), saliency: at("saliency"), caption: at("saliency-caption") };
    showLooks(looks, this.#answer, at("digit").textContent, model?.image_shape);
  }

  /** Say the answer to a screen reader once it has settled. */
  #speak(words) {
    if (words === this.#words) return;
    this.#words = words;
    clearTimeout(this.#speech);
    this.#speech = setTimeout(() => {
      at("spoken").textContent = words;
    }, SILENCE);
  }
}

/** The probabilities of the model that is compared, by the names of its classes. */
function othersByName(answer) {
  const probabilities = answer?.other?.probabilities;
  return probabilities ? new Map(answer.compared.classes.map((name, index) => [name, probabilities[index]])) : null;
}
