// Whether the server answers. While it does not, it is asked again until it does.

const PAUSE = 1500; // milliseconds from one attempt to the next

export const connection = new EventTarget(); // events: lost, found
let isLost = false;

export function lost() {
  if (isLost) return;
  isLost = true;
  connection.dispatchEvent(new Event("lost"));
  setTimeout(attempt, PAUSE);
}

export function reached() {
  if (!isLost) return;
  isLost = false;
  connection.dispatchEvent(new Event("found"));
}

/** Find out whether the server is there, as something suggests that it may not be. */
export async function check() {
  if (!(await answers())) lost();
}

async function attempt() {
  if (await answers()) reached();
  else setTimeout(attempt, PAUSE);
}

async function answers() {
  const response = await fetch("/healthz", { cache: "no-store" }).catch(() => null);
  return response?.ok ?? false;
}
