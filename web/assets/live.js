// What pages gain from JavaScript: the theme switch, and recommendations that arrive while one
// looks. Everything else works without it.
"use strict";

const system = matchMedia("(prefers-color-scheme: dark)");
/** How long a list may take to come. */
const DEADLINE_MS = 20_000;
const themeSwitch = document.getElementById("theme");
const otherTheme = document.getElementById("other-theme");
const systemTheme = document.getElementById("system-theme");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

function showTheme() {
  otherTheme.textContent = isDark() ? "Light theme" : "Dark theme";
  systemTheme.hidden = !document.documentElement.dataset.theme;
}

/** Chooses light or dark on every page, or with null what the system has. */
function chooseTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  // For the pages for operators, which are at another port.
  document.cookie = `theme=${theme ?? ""}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax`;
  try {
    if (theme) localStorage.setItem("theme", theme);
    else localStorage.removeItem("theme");
  } catch {
    // As in theme.js.
  }
  showTheme();
}

themeSwitch.addEventListener("click", () => chooseTheme(isDark() ? "light" : "dark"));
systemTheme.addEventListener("click", () => {
  chooseTheme(null);
  // The button is hidden now.
  themeSwitch.focus();
});
system.addEventListener("change", showTheme);
addEventListener("storage", (event) => {
  if (event.key !== "theme") return;
  if (event.newValue) document.documentElement.dataset.theme = event.newValue;
  else delete document.documentElement.dataset.theme;
  showTheme();
});
showTheme();

// On a phone the genres are one line that scrolls: the chosen one is in view.
const filters = document.querySelector(".filters");
const chosenChip = filters?.querySelector(".chip[aria-current]");
if (chosenChip) {
  const [line, chip] = [filters, chosenChip].map((element) => element.getBoundingClientRect());
  filters.scrollLeft += (chip.left + chip.right - line.left - line.right) / 2;
}

const badge = document.getElementById("badge");
const live = document.getElementById("live");
// Between a failed connection and the next attempt, where the browser does not try by itself.
const RETRY_MS = 15_000;
// Between two lists, so that an import does not move the page under the pointer all the time.
const PAUSE_MS = 1_500;
// Before a list is asked for again that could not be had, or not with what is recommended.
const AGAIN_MS = 5_000;
let events = null;
let retry = null;
let fetching = false;
let again = false;
let connectedBefore = false;

/** Shows how many films are new to the user. */
function showNew(count) {
  document.getElementById("badge-count").textContent = count > 99 ? "99+" : String(count);
  badge.hidden = count === 0;
}

function filmsIn(part) {
  return new Map([...part.querySelectorAll("[data-film]")].map((film) => [film.dataset.film, film]));
}

function isReason(film) {
  return film.querySelector(".because") !== null;
}

function announce(arrived) {
  if (arrived.length === 0) return;
  const titles = arrived.slice(0, 3).map((film) => film.dataset.title).join(", ");
  const more = arrived.length > 3 ? ` and ${arrived.length - 3} more` : "";
  live.textContent = `For you now: ${titles}${more}.`;
}

// What came while the visitor read further down waits behind this button.
const pill = document.getElementById("pill");
/** How far down one has to be for the list to be left as it is. */
const SCROLLED_PX = 200;
let waiting = null;

/** Whether the list may not be replaced under the visitor. */
function isBusy(shown) {
  return scrollY > SCROLLED_PX || shown.querySelector("input:focus") !== null;
}

/** Puts a list in the place of the one that is shown. */
function put(fresh, arrived) {
  const shown = document.querySelector("[data-live]");
  const focused = shown.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  shown.replaceWith(document.adoptNode(fresh));
  if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  waiting = null;
  pill.hidden = true;
  announce(arrived);
}

/** Keeps a list until the visitor asks for it. */
function keep(fresh, arrived, films) {
  waiting = { fresh, arrived };
  const words = films === 1 ? "1 new film" : `${films} new films`;
  if (pill.hidden || pill.textContent !== words) live.textContent = words;
  pill.textContent = words;
  pill.hidden = false;
}

pill.addEventListener("click", () => {
  if (!waiting) return;
  put(waiting.fresh, waiting.arrived);
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true });
});

/** Puts the list as the server has it now in place of the one that is shown, or keeps it. */
async function refresh() {
  const shown = document.querySelector("[data-live]");
  if (!shown) return;
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  let whole = false;
  try {
    const response = await fetch(shown.dataset.live, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    whole = fresh?.dataset.recommended !== "unknown";
    if (!fresh) return;
    const known = filmsIn(shown);
    // Where nothing was known before, nothing is new.
    const tellsNews = shown.dataset.recommended !== "unknown";
    const arrived = [];
    let films = 0;
    for (const [id, film] of filmsIn(fresh)) {
      const old = known.get(id);
      if (!old) films += 1;
      if (tellsNews && isReason(film) && !(old && isReason(old))) {
        film.classList.add("arrived");
        arrived.push(film);
      }
    }
    if (films > 0 && isBusy(shown)) keep(fresh, arrived, films);
    else put(fresh, arrived);
  } catch {
    // It is tried again below.
  } finally {
    setTimeout(() => {
      fetching = false;
      // A hidden page begins anew when it is looked at.
      if (document.hidden || (whole && !again)) return;
      again = false;
      refresh();
    }, whole ? PAUSE_MS : AGAIN_MS);
  }
}

function connect() {
  clearTimeout(retry);
  // Who has not signed in has no recommendations, and no number of them.
  if (events || document.hidden || !badge) return;
  let first = true;
  events = new EventSource(`${document.body.dataset.base}recommendations/events`);
  events.addEventListener("open", () => {
    first = true;
  });
  events.addEventListener("changed", (event) => {
    const [total, count] = event.data.split(" ").map(Number);
    showNew(count);
    const shown = document.querySelector("[data-live]");
    // The first event says how things stand: only what has changed since the page was made counts.
    const known = shown && shown.dataset.recommended === String(total);
    if (!first || connectedBefore || !known) refresh();
    first = false;
    connectedBefore = true;
  });
  events.addEventListener("error", () => {
    if (events && events.readyState === EventSource.CLOSED) {
      disconnect();
      retry = setTimeout(connect, RETRY_MS);
    }
  });
}

function disconnect() {
  clearTimeout(retry);
  events?.close();
  events = null;
}

// A hidden page holds no connection: browsers have few for one host, and visitors many tabs.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
connect();

// What is typed on Following is looked up while one types.
const typed = document.getElementById("keyword");
const preview = document.getElementById("preview");
const TYPING_MS = 350;
let typing = null;
let lookup = null;

async function showPreview() {
  lookup?.abort();
  lookup = new AbortController();
  const asked = lookup;
  try {
    const address = `${preview.dataset.preview}&keyword=${encodeURIComponent(typed.value)}`;
    const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(DEADLINE_MS)]);
    const response = await fetch(address, { headers: { Accept: "text/html" }, signal });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("preview");
    if (asked !== lookup || !fresh) return;
    // The part itself stays, so that a screen reader notices what changes in it.
    preview.replaceChildren(...document.adoptNode(fresh).childNodes);
  } catch {
    // The next letter, or the button, asks again.
  }
}

if (typed && preview?.dataset.preview) {
  typed.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(showPreview, TYPING_MS);
  });
}
