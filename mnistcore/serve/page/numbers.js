// Numbers as they are shown.

const WHOLE = new Intl.NumberFormat("en");

export const whole = (number) => WHOLE.format(Math.round(number));

export function percent(share, digits = 1) {
  if (share > 0 && share < 0.5 * 10 ** -(digits + 2)) return `<${(10 ** -digits).toFixed(digits)}%`;
  if (share < 1 && share > 1 - 0.5 * 10 ** -(digits + 2)) return `>${(100 - 10 ** -digits).toFixed(digits)}%`;
  return `${(100 * share).toFixed(digits)}%`;
}

/** A rate in few characters: 812, 38.2k, 514k, 1.24M. */
export function short(number) {
  if (number >= 999_500) return `${(number / 1e6).toPrecision(3)}M`;
  if (number >= 10_000) return `${(number / 1e3).toPrecision(3)}k`;
  return whole(number);
}

/** Seconds in words: 0.12 s, 9.4 s, 4 min 43 s. */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toPrecision(2)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds) % 60).padStart(2, "0")} s`;
}

export const layersInWords = (layers) => layers.join("–");
