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
    const { jobs } = await get("/api/jobs");
    const job = jobs.find(({ state }) => GOES_ON.includes(state)) ?? jobs.at(-1);
    if (job && job.id !== this.#job) this.#follow(job.id);
    return job;
  }

  /** The server is back, or another one is, which may give other trainings the same names. */
  async #again() {
    const had = this.#job;
    this.#close();
    this.#job = null;
    if ((await this.load()) || !had) return;
    const message = "The server was started again: what was trained before is gone.";
    this.#view.forget();
    this.#setState({ state: "none", message });
  }

  /** Start a training and follow it. */
  async start(settings) {
    await this.load();
    const { id } = await post("/api/jobs", settings);
    this.#follow(id);
    return id;
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
    this.#view.prepare(options);
    this.#form.describeData(options.data);
    if (options.data) return;
    setTimeout(async () => this.#learn(await get("/api/options").catch(() => options)), AGAIN);
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

  #follow(id) {
    this.#close();
    this.#job = id;
    this.#close = listen(`/api/jobs/${id}/events`, {
      snapshot: (report) => {
        this.#view.snapshot(report);
        this.#setState(report.job);
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
    });
  }

  #setState(report) {
    const { state } = report;
    this.#state = state;
    this.#view.state(report);
    at("start").disabled = GOES_ON.includes(state);
    at("train-dot").hidden = !GOES_ON.includes(state);
    if (GOES_ON.includes(state)) return;
    this.#close(); // or the browser would open the stream again and again
    this.#tell("over", report);
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail: { id: this.#job, ...detail } }));
  }

  #complain(words) {
    at("settings-error").textContent = words;
    at("settings-error").hidden = !words;
  }
}
