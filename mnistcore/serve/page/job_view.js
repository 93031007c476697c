// A training as it goes on: state, speed, curves, and what the last evaluation found.

import { ACCURACY, Curve, LOSS } from "./curve.js";
import { makeConfusion, showConfusion, showWeights, showWrong } from "./evaluation.js";
import { duration, percent, short, whole } from "./numbers.js";

const SERIES = [
  { name: "training", colour: "--other" },
  { name: "unseen", colour: "--accent" },
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
  #classes = [];
  #perEpoch = 1; // samples

  /** Take what GET /api/options says of the data. */
  prepare({ data }) {
    this.#classes = data?.classes ?? DIGITS;
  }

  /** Begin with a job and all that it has reported so far. */
  snapshot({ job, curve, evaluations }) {
    this.#perEpoch = job.samples_per_epoch;
    this.#accuracy.clear(job.epochs);
    this.#loss.clear(job.epochs);
    at("accuracy").textContent = "–";
    at("weights").replaceChildren();
    at("wrong").replaceChildren();
    makeConfusion(at("confusion"), this.#classes);
    for (const point of [...curve, ...evaluations]) this.#addPoint(point);
    this.#describeCurves();
    this.state(job);
    this.#showEpoch(job);
    if (job.samples_per_second) this.#showSpeed(job);
  }

  progress(report) {
    this.#perEpoch = report.samples_per_epoch;
    this.#addPoint(report);
    this.#describeCurves();
    this.#showEpoch(report);
    this.#showSpeed(report);
  }

  evaluation(report) {
    this.#addPoint(report);
    this.#describeCurves();
    at("accuracy").textContent = percent(report.accuracy, 2);
    showConfusion(at("confusion"), report.confusion);
    showWeights(at("weights"), report.weights);
    showWrong(at("wrong"), report.wrong, this.#classes);
    const wrong = report.confusion.flatMap((cells, label) => cells.filter((_, read) => read !== label)).reduce((sum, count) => sum + count, 0);
    at("wrong-words").textContent = wrong ? `${whole(wrong)} of ${whole(report.images)} unseen images are read wrong; some of them:` : "None of the unseen images is read wrong.";
  }

  state({ state: name, message, test_accuracy: tested }) {
    if (tested) at("accuracy").textContent = percent(tested, 2);
    at("accuracy-words").textContent = tested ? "of the test images right" : "of unseen images right";
    at("live").dataset.state = name;
    at("state").textContent = TITLES[name] ?? name;
    at("state-detail").textContent = name === "failed" ? message : "";
    at("pause").disabled = name !== "training" && name !== "paused";
    at("stop").disabled = !GOES_ON.includes(name);
    at("pause").lastElementChild.textContent = name === "paused" ? "Resume" : "Pause";
    at("pause").querySelector("use").setAttribute("href", name === "paused" ? "#i-play" : "#i-pause");
    at("try").hidden = GOES_ON.includes(name) || name === "failed";
    const found = at("accuracy").textContent;
    at("train-spoken").textContent = [TITLES[name], message, found === "–" ? "" : `${found} right`].filter(Boolean).join(", ");
  }

  #showEpoch({ samples, epoch, epochs, seconds }) {
    at("job-progress").value = this.#perEpoch ? samples / (epochs * this.#perEpoch) : 0;
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
    const epoch = point.samples / this.#perEpoch;
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
