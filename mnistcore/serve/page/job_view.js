// A training as it goes on: state, speed, curves, and what the last evaluation found.

import { ACCURACY, Curve, LOSS } from "./curve.js";
import { makeConfusion, showConfusion, showWeights, showWrong } from "./evaluation.js";
import { duration, percent, short, whole } from "./numbers.js";

const SERIES = [
  { name: "training", colour: "--other" },
  { name: "unseen", colour: "--accent" },
];
const TITLES = {
  none: "Nothing trained yet",
  compiling: "Compiling the kernels",
  training: "Training",
  paused: "Paused",
  finished: "Finished",
  stopped: "Stopped",
  failed: "It failed",
};
export const GOES_ON = ["compiling", "training", "paused"];
const WRONG = "Unseen images that are read wrong.";

const at = (id) => document.getElementById(id);

export class JobView {
  #accuracy = new Curve(at("accuracy-curve"), ACCURACY, SERIES);
  #loss = new Curve(at("loss-curve"), LOSS, SERIES);

  /** Begin with a job and all that it has reported so far. */
  snapshot({ job, curve, evaluations }) {
    this.forget();
    this.#setLength(job);
    for (const point of [...curve, ...evaluations]) this.#addPoint(point);
    this.#describeCurves();
    this.#showEpoch(job);
    if (job.samples_per_second) this.#showSpeed(job);
  }

  /** Show nothing, as before the first training. */
  forget() {
    this.#accuracy.clear();
    this.#loss.clear();
    this.#describeCurves();
    for (const id of ["accuracy", "rate", "gflops"]) at(id).textContent = "–";
    for (const id of ["weights", "wrong", "confusion"]) at(id).replaceChildren();
    at("wrong-words").textContent = WRONG;
    at("job-progress").value = 0;
    at("peak").hidden = true;
    at("state-epoch").textContent = at("peak-words").textContent = "";
  }

  progress(report) {
    this.#setLength(report);
    this.#addPoint(report);
    this.#describeCurves();
    this.#showEpoch(report);
    this.#showSpeed(report);
  }

  evaluation(report) {
    this.#addPoint(report);
    this.#describeCurves();
    at("accuracy").textContent = percent(report.accuracy, 2);
    if (!at("confusion").tBodies.length) makeConfusion(at("confusion"), report.classes);
    showConfusion(at("confusion"), report.confusion);
    showWeights(at("weights"), report.weights);
    showWrong(at("wrong"), report.wrong, report.classes, report.weights.shape[1]);
    const wrong = report.confusion.flatMap((cells, label) => cells.filter((_, read) => read !== label)).reduce((sum, count) => sum + count, 0);
    at("wrong-words").textContent = wrong ? `${whole(wrong)} of ${whole(report.images)} unseen images are read wrong; some of them:` : "None of the unseen images is read wrong.";
  }

  state({ state: name, message, test_accuracy: tested = null, drawable = false }) {
    if (tested !== null) at("accuracy").textContent = percent(tested, 2);
    at("accuracy-words").textContent = tested !== null ? "of the test images right" : "of unseen images right";
    at("live").dataset.state = name;
    at("state").textContent = TITLES[name] ?? name;
    at("state-detail").textContent = ["none", "failed"].includes(name) ? message : "";
    at("pause").hidden = at("stop").hidden = !GOES_ON.includes(name);
    at("pause").disabled = name === "compiling";
    at("pause").lastElementChild.textContent = name === "paused" ? "Resume" : "Pause";
    at("pause").querySelector("use").setAttribute("href", name === "paused" ? "#i-play" : "#i-pause");
    at("try").hidden = GOES_ON.includes(name) || name === "failed" || !drawable;
    const found = at("accuracy").textContent;
    at("train-spoken").textContent = [TITLES[name], message, found === "–" ? "" : `${found} right`].filter(Boolean).join(", ");
  }

  #setLength({ epochs, samples_per_epoch: perEpoch }) {
    this.#accuracy.setLength(epochs, perEpoch);
    this.#loss.setLength(epochs, perEpoch);
  }

  #showEpoch({ samples, epoch, epochs, samples_per_epoch: perEpoch, seconds }) {
    at("job-progress").value = perEpoch ? samples / (epochs * perEpoch) : 0;
    at("state-epoch").textContent = epoch ? `epoch ${epoch} of ${epochs}, ${duration(seconds)}` : "";
  }

  #showSpeed({ samples_per_second: rate, gflops, peak_gflops: peak }) {
    at("rate").textContent = short(rate);
    at("gflops").textContent = gflops.toFixed(gflops < 100 ? 1 : 0);
    at("peak").hidden = !peak;
    at("peak-words").textContent = peak ? `${percent(gflops / peak, 0)} of the peak, ${whole(peak)}` : "";
    if (peak) at("peak").value = gflops / peak;
  }

  #addPoint(point) {
    const series = Number("accuracy" in point); // an evaluation, or a slice of the training
    this.#accuracy.add(series, point.samples, point.accuracy ?? point.train_accuracy);
    this.#loss.add(series, point.samples, point.loss);
  }

  #describeCurves() {
    this.#accuracy.describe("Accuracy");
    this.#loss.describe("Loss");
  }
}
