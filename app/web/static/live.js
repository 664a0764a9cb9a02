/* Keep the marked parts of a page current: ask for the part alone, replace it only when it changed.
   Pages work without this file; it saves the reload. */

const SLOWEST_S = 30;

function focusMark(element) {
  // The label before the address: several links of a card lead to the same one.
  return element.id || element.getAttribute("aria-label") || element.getAttribute("href");
}

function replaceKeepingFocus(part, html) {
  const held = part.contains(document.activeElement) ? focusMark(document.activeElement) : null;
  part.innerHTML = html;
  if (held) {
    const again = [...part.querySelectorAll("a, button, summary, input")].find((it) => focusMark(it) === held);
    again?.focus({ preventScroll: true });
  }
}

function watch(part) {
  const everyS = Number(part.dataset.liveEveryS);
  const note = document.querySelector("[data-live-note]");
  let shown = null;
  let waitS = everyS;

  async function round() {
    const answer = await fetch(part.dataset.live, { cache: "no-store", redirect: "error" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    if (html !== shown) {
      replaceKeepingFocus(part, html);
      shown = html;
    }
  }

  async function tick() {
    if (document.visibilityState === "visible") {
      try {
        await round();
        waitS = everyS;
        if (note) note.hidden = true;
      } catch {
        waitS = Math.min(waitS * 2, SLOWEST_S);
        if (note) note.hidden = false;
      }
    }
    setTimeout(tick, waitS * 1000);
  }

  setTimeout(tick, waitS * 1000);
}

document.querySelectorAll("[data-live]").forEach(watch);
