// A training as it goes on: state, speed, curves, and what the last evaluation found.

import { ACCURACY, Curve, LOSS } from "./curve.js";
import { makeConfusion, showConfusion, showWeights, showWrong } from "./evaluation.js";
import { percent, short, whole } from "./numbers.js";

const SERIES = [
  { name: "training", colour: "--other" },
  { name: "test", colour: "--accent" },
];
const TITLES = {
  compiling: "Compiling the kernels",
  training: "Training",
  paused: "Paused",
  finished: "Finished",
  stopped: "Stopped",
  failed: "It failed",
};
export const GOES_ON = ["compiling", "training", "paused"];

const DIGITS = [..."0123456789"];

const at = (id) => document.getElementById(id);

export class JobView {
  #accuracy = new Curve(at("accuracy-curve"), ACCURACY, SERIES);
  #loss = new Curve(at("loss-curve"), LOSS, SERIES);
  #peak = null; // GFLOP/s of the machine
  #classes = [];
  #trainSize = 1;

  /** Take what GET /api/options says of the machine and the data. */
  prepare({ peak_gflops: peak, data }) {
    this.#peak = peak;
    this.#trainSize = data.train;
    this.#classes = data.classes ?? DIGITS;
    makeConfusion(at("confusion"), this.#classes);
  }

  /** Begin with a job and all that it has reported so far. */
  snapshot({ job, curve }) {
    this.#accuracy.clear(job.epochs);
    this.#loss.clear(job.epochs);
    at("accuracy").textContent = "–";
    at("weights").replaceChildren();
    at("wrong").replaceChildren();
    makeConfusion(at("confusion"), this.#classes);
    for (const point of curve) this.#addPoint(point);
    this.#describeCurves();
    this.state(job.state, job.message);
    this.#showEpoch(job.epoch, job.epochs);
  }

  progress(report) {
    this.#addPoint(report);
    this.#describeCurves();
    this.#showEpoch(report.epoch, report.epochs);
    at("rate").textContent = short(report.samples_per_second);
    this.#showGflops(report.gflops);
  }

  evaluation(report) {
    this.#addPoint(report);
    this.#describeCurves();
    at("accuracy").textContent = percent(report.accuracy, 2);
    showConfusion(at("confusion"), report.confusion);
    showWeights(at("weights"), report.weights);
    showWrong(at("wrong"), report.wrong, this.#classes);
    const wrong = report.confusion.flatMap((cells, label) => cells.filter((_, read) => read !== label)).reduce((sum, count) => sum + count, 0);
    at("wrong-words").textContent = wrong ? `${whole(wrong)} test images are read wrong; some of them:` : "No test image is read wrong.";
  }

  state(name, message) {
    at("live").dataset.state = name;
    at("state").textContent = TITLES[name] ?? name;
    at("state-detail").textContent = message ?? "";
    at("state-detail").classList.toggle("error", name === "failed");
    at("pause").disabled = name !== "training" && name !== "paused";
    at("stop").disabled = !GOES_ON.includes(name);
    at("pause").lastElementChild.textContent = name === "paused" ? "Resume" : "Pause";
    at("pause").querySelector("use").setAttribute("href", name === "paused" ? "#i-play" : "#i-pause");
    at("try").hidden = GOES_ON.includes(name) || name === "failed";
    const found = at("accuracy").textContent;
    at("train-spoken").textContent = [TITLES[name], message, found === "–" ? "" : `${found} right`].filter(Boolean).join(", ");
  }

  #showEpoch(epoch, epochs) {
    at("job-progress").value = epochs ? Math.min(1, epoch / epochs) : 0;
    if (at("state-detail").classList.contains("error")) return;
    at("state-detail").textContent = `epoch ${Math.min(epochs, Math.floor(epoch) + 1)} of ${epochs}`;
  }

  #showGflops(gflops) {
    at("gflops").textContent = gflops.toFixed(gflops < 100 ? 1 : 0);
    at("peak").hidden = this.#peak === null;
    if (this.#peak === null) return;
    at("peak").value = gflops / this.#peak;
    at("peak-words").textContent = `${percent(gflops / this.#peak, 0)} of the peak, ${whole(this.#peak)}`;
  }

  #addPoint(point) {
    const epoch = point.samples / this.#trainSize;
    if ("accuracy" in point) {
      this.#accuracy.add(1, epoch, point.accuracy);
      this.#loss.add(1, epoch, point.loss);
    } else {
      this.#accuracy.add(0, epoch, point.train_accuracy);
      this.#loss.add(0, epoch, point.loss);
    }
  }

  #describeCurves() {
    this.#accuracy.describe("Accuracy");
    this.#loss.describe("Loss");
  }
}
