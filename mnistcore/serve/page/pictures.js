// Pictures that a person drops, pastes, opens or photographs.

const LONGEST = 1600; // pixels; the photographs of phones are larger than any server needs

/**
 * Listen for pictures wherever they may come from.
 * @param {{area: Element, frame: Element, inputs: HTMLInputElement[]}} places
 * @param {(file: Blob) => void} take
 */
export function listenForPictures({ area, frame, inputs }, take) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      if (input.files[0]) take(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
  }
  area.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    frame.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) area.addEventListener(name, () => frame.classList.remove("dropping"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file && area.offsetParent) take(file);
  });
}

/**
 * Make a picture small enough to send; what the browser cannot decode goes as it is. Its bytes are
 * kept, as its file may change or vanish before they are sent again.
 */
export async function toSend(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap || Math.max(bitmap.width, bitmap.height) <= LONGEST) {
    return new Blob([await file.arrayBuffer()], { type: file.type });
  }
  const scale = LONGEST / Math.max(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const kind = file.type === "image/jpeg" ? file.type : "image/png"; // JPEG makes what is transparent black
  return new Promise((resolve) => canvas.toBlob(resolve, kind, 0.92));
}
