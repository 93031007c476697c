// Three tabs with arrow keys, as the ARIA pattern describes them; the address names the open one.

export function startTabs(list, onOpen) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.getAttribute("aria-controls");

  function open(tab) {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(nameOf(other)).hidden = !chosen;
    }
    onOpen(nameOf(tab));
  }

  function openNamed() {
    open(tabs.find((tab) => `#${nameOf(tab)}` === location.hash) ?? tabs[0]);
  }

  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      history.replaceState(null, "", `#${nameOf(tab)}`);
      open(tab);
    });
  }
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const tab = tabs.at(to % tabs.length);
    tab.focus();
    tab.click();
  });
  addEventListener("hashchange", openNamed);
  openNamed();
}
