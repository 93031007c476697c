// One request at a time, and of those that wait only the newest: the answer always belongs to what
// was drawn last, and a slow server is not buried in questions.

export class Latest {
  #waiting = null;
  #busy = false;
  #pause;

  /** @param {number} pause milliseconds between the starts of two tasks, at least */
  constructor(pause) {
    this.#pause = pause;
  }

  /** Run an asynchronous task, now or when the one before it has ended. */
  ask(task) {
    this.#waiting = task;
    if (!this.#busy) this.#run();
  }

  /** Forget the task that waits. */
  cancel() {
    this.#waiting = null;
  }

  async #run() {
    this.#busy = true;
    while (this.#waiting) {
      const task = this.#waiting;
      this.#waiting = null;
      const began = performance.now();
      await task();
      const rest = this.#pause - (performance.now() - began);
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    }
    this.#busy = false;
  }
}
