// Requests to the server. Whatever goes wrong arrives as an ApiError with one clear sentence.

import { lost, reached, server } from "./connection.js";

export const BUSY = 409; // the status while something else computes
const PATIENCE = 20_000; // milliseconds

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

export const get = (path) => request(path, {});

export const post = (path, value) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value ?? {}),
  });

export const postPicture = (path, blob) =>
  request(path, { method: "POST", headers: { "Content-Type": blob.type }, body: blob });

async function request(path, options) {
  const asked = server;
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    lost();
    throw new ApiError("The server does not answer.", 0);
  }
  reached(response);
  if (asked !== null && asked !== server) throw new ApiError("The server was started again.", 0);
  const answer = await response.json().catch(() => null);
  if (!response.ok || answer === null) {
    throw new ApiError(answer?.error ?? `The server answered with status ${response.status}.`, response.status);
  }
  return answer;
}
