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

async function attempt() {
  if (!isLost) return;
  try {
    const response = await fetch("/healthz", { cache: "no-store" });
    if (response.ok) return reached();
  } catch {
    // still away
  }
  setTimeout(attempt, PAUSE);
}
