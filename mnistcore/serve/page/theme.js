// Light or dark: what the system says, until the button says otherwise.

const STORED = "mnistcore-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export const theme = new EventTarget(); // event: change

export function startTheme(button) {
  const apply = () => {
    const dark = (recall(STORED) ?? (system.matches ? "dark" : "light")) === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    button.querySelector("use").setAttribute("href", dark ? "#i-sun" : "#i-moon");
    theme.dispatchEvent(new Event("change"));
  };
  button.addEventListener("click", () => {
    remember(STORED, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

/** A colour of the style sheet, such as "--ink", for what is drawn on a canvas. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A browser may forbid to store anything: then nothing is remembered, and nothing fails.

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // forgotten with the page
  }
}

export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
