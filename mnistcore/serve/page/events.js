// A stream of server-sent events, which the browser opens again by itself when it breaks. It is closed
// while nobody sees the page: a browser has six connections to a server for all its windows.

import { check } from "./connection.js";

const AGAIN = 2000; // milliseconds

/**
 * @param {string} path
 * @param {Record<string, (data: any) => void>} listeners by the name of the event
 * @param {() => void} refused called some time after the server has refused the stream
 * @returns {() => void} a function that ends the stream
 */
export function listen(path, listeners, refused) {
  let source = null;
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    if (document.hidden) return;
    source = new EventSource(path);
    for (const [name, listener] of Object.entries(listeners)) {
      source.addEventListener(name, (event) => listener(JSON.parse(event.data)));
    }
    source.addEventListener("open", check); // it may be the stream of another server
    source.addEventListener("error", ({ target }) => {
      check(); // a stream may end although the server is there
      if (target.readyState === EventSource.CLOSED) timer = setTimeout(refused, AGAIN);
    });
  };
  document.addEventListener("visibilitychange", open);
  open();
  return () => {
    document.removeEventListener("visibilitychange", open);
    close();
  };
}
