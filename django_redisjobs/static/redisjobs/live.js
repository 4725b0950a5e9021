// Keeps an element of a page fresh: asks for the page again every few seconds and
// changes what is different in place. So focus, selection, scroll position, what is
// unfolded and what was typed stay as they are, and nothing flickers.
//
// <div data-rj-live="ID of the element" data-rj-seconds="5" hidden> is where the switch
// is; templates/admin/redisjobs/live.html makes one. An element with data-rj-final will
// not change any more, and nobody asks for it again. Nothing here needs inline script or
// style. A page that nobody looks at asks for nothing.

const PAUSED = "redisjobs.live.paused";

function remember(isPaused) {
  try {
    if (isPaused) localStorage.setItem(PAUSED, "1");
    else localStorage.removeItem(PAUSED);
  } catch {
    // Storage may be forbidden: then the choice holds for this page.
  }
}

function isRemembered() {
  try {
    return localStorage.getItem(PAUSED) === "1";
  } catch {
    return false;
  }
}

function isSame(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  return (one.id || "") === (other.id || "");
}

// What people set themselves: unfolded details, what they typed or ticked. A hidden field is
// the page's: it may be the token of a new session.
function isTheirs(element, name) {
  if (element.type === "hidden") return false;
  if (name === "open") return element.nodeName === "DETAILS";
  return ["INPUT", "SELECT", "TEXTAREA", "OPTION"].includes(element.nodeName)
    && ["value", "checked", "selected"].includes(name);
}

function changeAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !isTheirs(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isTheirs(old, name)) old.setAttribute(name, value);
  }
}

export function change(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh)) return;
  changeAttributes(old, fresh);
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    // Rows that went away from before this one.
    if (place && child.id && !isSame(place, child)) {
      let later = place.nextSibling;
      while (later && !isSame(later, child)) later = later.nextSibling;
      if (later) while (place !== later) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
    }
    if (!place) old.append(document.importNode(child, true));
    else if (isSame(place, child)) {
      change(place, child);
      place = place.nextSibling;
    } else old.insertBefore(document.importNode(child, true), place);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// Rows must not move under somebody who has ticked some of them, or is writing.
function isInUse(region) {
  if (region.querySelector("input[type=checkbox]:checked")) return true;
  const focused = document.activeElement;
  return region.contains(focused) && focused.matches("input, select, textarea");
}

// The job was deleted, or who asks was signed out.
class AnotherPage extends Error {}

function keepFresh(box) {
  const id = box.dataset.rjLive;
  const region = document.getElementById(id);
  if (!region) return;
  const seconds = Math.max(1, Number(box.dataset.rjSeconds) || 5);
  const button = box.querySelector("button");
  const late = box.querySelector("[data-rj-late]");
  let timer = 0;
  let asking = null;
  let misses = 0;
  let isPaused = isRemembered();

  function isFinal() {
    return region.hasAttribute("data-rj-final");
  }

  function plan() {
    clearTimeout(timer);
    if (isFinal() || isPaused || document.hidden) return;
    // A server that does not answer is asked less and less often.
    timer = setTimeout(refresh, seconds * 1000 * Math.min(2 ** misses, 12));
  }

  // Why it is not fresh; "" when it is.
  function tell(text) {
    box.classList.toggle("rj-live-is-late", text !== "");
    if (late.textContent !== text) late.textContent = text;
  }

  async function fetched() {
    asking = new AbortController();
    const answer = await fetch(location.href, {
      headers: { "X-Redisjobs-Live": id },
      credentials: "same-origin",
      cache: "no-store",
      signal: asking.signal,
    });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(id);
    if (!fresh) throw new AnotherPage();
    return fresh;
  }

  async function refresh() {
    if (asking || isFinal()) return;
    if (isInUse(region)) {
      plan();
      return;
    }
    // Who only sees that it is "Live" would take old numbers for those of now.
    const slow = setTimeout(() => tell(late.dataset.rjLate), 1000 * Math.max(10, 2 * seconds));
    try {
      const fresh = await fetched();
      if (!isPaused && !isInUse(region)) {
        change(region, fresh);
        box.hidden = isFinal();
        region.dispatchEvent(new CustomEvent("redisjobs:refreshed", { bubbles: true }));
      }
      misses = 0;
      tell("");
    } catch (error) {
      if (error.name !== "AbortError") {
        misses += 1;
        tell(error instanceof AnotherPage ? late.dataset.rjGone : late.dataset.rjLate);
      }
    } finally {
      clearTimeout(slow);
      asking = null;
      plan();
    }
  }

  function show() {
    button.setAttribute("aria-pressed", String(!isPaused));
  }

  button.addEventListener("click", () => {
    isPaused = !isPaused;
    remember(isPaused);
    show();
    if (isPaused) {
      clearTimeout(timer);
      if (asking) asking.abort();
      tell("");
    } else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      if (asking) asking.abort();
    } else if (!isPaused) refresh();
  });
  show();
  box.hidden = false;
  plan();
}

document.querySelectorAll("[data-rj-live]").forEach(keepFresh);
