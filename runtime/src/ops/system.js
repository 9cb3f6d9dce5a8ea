// What this page gains from JavaScript: the theme that was chosen on the other pages, and figures
// that stay true while one looks. It can be read without it.
"use strict";

const PAUSE_MS = 2_000;
const PATIENCE_MS = 5_000;

// At once, before anything is painted. The pages are at another port, whose storage this page cannot
// read; they put the choice into a cookie, too.
function showTheme() {
  const theme = /(?:^|; )theme=(dark|light)(?:;|$)/.exec(document.cookie)?.[1];
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** Makes `shown` like `fresh` and touches only what differs, so that focus and selection stay. */
function renew(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  const alike = shown.nodeName === fresh.nodeName && shown.childNodes.length === fresh.childNodes.length;
  if (!alike) shown.replaceWith(document.adoptNode(fresh));
  else if (shown.nodeType === Node.TEXT_NODE) shown.data = fresh.data;
  else {
    shown.className = fresh.className;
    const parts = [...fresh.childNodes];
    [...shown.childNodes].forEach((part, at) => renew(part, parts[at]));
  }
}

async function look() {
  showTheme();
  if (document.hidden) return;
  const lost = document.getElementById("lost");
  try {
    const response = await fetch("/system", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    renew(document.getElementById("state"), page.getElementById("state"));
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, PAUSE_MS);
}

showTheme();
document.addEventListener("visibilitychange", look);
addEventListener("DOMContentLoaded", () => setTimeout(keepLooking, PAUSE_MS));
