// Whether the server answers, and whether it is another one. While none does, it is asked again.

const PAUSE = 1500; // milliseconds from one attempt to the next

export const connection = new EventTarget(); // events: lost; found, as it or another one answers
export let server = null; // what it calls itself; another one means other networks by the same names
let isLost = false;

export function lost() {
  if (isLost) return;
  isLost = true;
  connection.dispatchEvent(new Event("lost"));
  setTimeout(attempt, PAUSE);
}

/** Take note of an answer. */
export function reached(response) {
  const before = server;
  server = response.headers.get("x-mnistcore-server") ?? server; // a proxy's own answer has none
  const other = before !== null && before !== server;
  if (!isLost && !other) return;
  isLost = false;
  connection.dispatchEvent(new Event("found"));
}

/** Find out whether the server is there, as something suggests that it or another one may be. */
export async function check() {
  if (!(await answers())) lost();
}

async function attempt() {
  if (!(await answers())) setTimeout(attempt, PAUSE);
}

async function answers() {
  const response = await fetch("/healthz", { cache: "no-store" }).catch(() => null);
  if (response?.ok) reached(response);
  return response?.ok ?? false;
}
