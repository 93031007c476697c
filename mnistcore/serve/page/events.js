// A stream of server-sent events, which the browser opens again by itself when it breaks.

import { check, reached } from "./connection.js";

/**
 * @param {string} path
 * @param {Record<string, (data: any) => void>} listeners by the name of the event
 * @returns {() => void} a function that ends the stream
 */
export function listen(path, listeners) {
  const source = new EventSource(path);
  for (const [name, listener] of Object.entries(listeners)) {
    source.addEventListener(name, (event) => listener(JSON.parse(event.data)));
  }
  source.addEventListener("open", reached);
  source.addEventListener("error", check); // a stream may end although the server is there
  return () => source.close();
}
