// The tab Train: start a training, follow it, and find it again after a reload.

import { BUSY, get, post } from "./api.js";
import { connection } from "./connection.js";
import { listen } from "./events.js";
import { Form } from "./form.js";
import { GOES_ON, JobView } from "./job_view.js";

const AGAIN = 2000; // milliseconds

const at = (id) => document.getElementById(id);

/** Events: progress, with the share that is done; learned, when the network is a better one; over, when a training has ended; draw, to draw with it. */
export class Train extends EventTarget {
  #form = new Form();
  #view = new JobView();
  #options = null; // a promise of what the server offers
  #job = null; // the identifier of the one that is shown
  #state = "none";
  #close = () => {};

  constructor() {
    super();
    at("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    at("pause").addEventListener("click", () => this.#command(this.#state === "paused" ? "resume" : "pause"));
    at("stop").addEventListener("click", () => this.#command("stop"));
    at("try").addEventListener("click", () => this.#tell("draw"));
    connection.addEventListener("found", () => this.#again().catch(() => {}));
  }

  /** Ask what the server offers, and follow the newest training if there is one. */
  async load() {
    this.#options ??= this.#askOptions();
    await this.#options;
    const shown = this.#job;
    const { jobs } = await get("/api/jobs");
    const job = jobs.find(({ state }) => GOES_ON.includes(state)) ?? jobs.at(-1);
    // If another one is followed meanwhile, the answer is older than it.
    if (job && job.id !== shown && shown === this.#job) this.#follow(job);
    return job;
  }

  /** The server is back, or another one is, which may give other trainings the same names. */
  async #again() {
    this.#close();
    this.#job = this.#options = null;
    if ((await this.load()) || this.#state === "none") return;
    const message = "The server was started again: what was trained before is gone.";
    this.#view.forget();
    this.#setState({ state: "none", message });
  }

  /** Start a training and follow it. */
  async start(settings) {
    await this.load();
    const job = await post("/api/jobs", settings);
    this.#follow(job);
    return job.id;
  }

  async #askOptions() {
    try {
      const options = await get("/api/options");
      this.#form.fill(options);
      this.#learn(options);
    } catch (error) {
      this.#options = null; // to be asked again
      throw error;
    }
  }

  /** Take what is known of the data and the machine; ask again while that is not all. */
  #learn(options) {
    this.#form.describeData(options.data);
    if (options.data) return;
    setTimeout(async () => {
      const known = await get("/api/options").catch((error) => (error.status ? options : null));
      if (known) this.#learn(known); // without an answer, everything is asked when there is one again
    }, AGAIN);
  }

  async #submit() {
    this.#complain("");
    at("start").disabled = true;
    try {
      await this.start(this.#form.read());
      if (innerWidth < 900) at("live").scrollIntoView({ block: "start" });
    } catch (error) {
      this.#complain(error.message);
      at("start").disabled = false;
      if (error.status === BUSY) await this.load().catch(() => {}); // show what goes on
    }
  }

  async #command(name) {
    try {
      await post(`/api/jobs/${this.#job}/${name}`);
    } catch (error) {
      this.#complain(error.message);
    }
  }

  #follow(job) {
    this.#close();
    this.#job = job.id;
    this.#view.forget();
    this.#show(job);
    const listeners = {
      snapshot: (report) => {
        this.#view.snapshot(report);
        this.#show(report.job); // of one that has ended, the last evaluation and the state follow
      },
      progress: (report) => {
        this.#view.progress(report);
        this.#tell("progress", { share: report.samples / (report.epochs * report.samples_per_epoch) });
      },
      evaluation: (report) => {
        this.#view.evaluation(report);
        this.#tell("learned");
      },
      state: (report) => this.#setState(report),
    };
    this.#close = listen(`/api/jobs/${job.id}/events`, listeners, () => this.#again().catch(() => {}));
  }

  #setState(report) {
    this.#show(report);
    if (GOES_ON.includes(report.state)) return;
    this.#close(); // or the browser would open the stream again and again
    this.#tell("over", report);
  }

  #show(report) {
    this.#state = report.state;
    this.#view.state(report);
    const goesOn = GOES_ON.includes(report.state);
    at("start").disabled = goesOn;
    at("train-dot").hidden = !goesOn;
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail: { id: this.#job, ...detail } }));
  }

  #complain(words) {
    at("settings-error").textContent = words;
    at("settings-error").hidden = !words;
  }
}
