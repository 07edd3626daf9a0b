// What is told of runs while they train: figures are drawn again, parts that are text replaced.
"use strict";
(() => {
  const REFRESH_MS = 3000;
  const prefix = document.body.dataset.root;
  const told = new Map();

  const parts = () => document.querySelectorAll("[data-live]");

  // Asked for again whole, and only what has changed is replaced. What another view was asked for
  // meanwhile would be replaced by the text of the one before.
  async function renew() {
    const asked = location.href;
    const answer = await fetch(asked, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asked !== location.href) return renew();
    for (const part of parts()) {
      const other = fresh.getElementById(part.id);
      if (other) replace(part, other);
    }
  }

  function replace(part, other) {
    const isChosenFrom = part.tagName === "SELECT" && part === document.activeElement;
    if (told.get(part) === other.outerHTML || isChosenFrom) return;
    told.set(part, other.outerHTML);
    const { value } = part;
    const open = new Map([...part.querySelectorAll("details")].map((one) => [one.dataset.key, one.open]));
    const held = part.contains(document.activeElement) ? keyOf(document.activeElement) : undefined;
    part.className = other.className;
    part.replaceChildren(...other.childNodes);
    for (const one of part.querySelectorAll("details")) one.open = open.get(one.dataset.key) ?? one.open;
    if (part.tagName === "SELECT") choose(part, value);
    if (held) takeBack(part, held);
  }

  // A choice outlives the list it was made from.
  function choose(select, value) {
    if (![...select.options].some((one) => one.value === value)) select.add(new Option(value, value));
    select.value = value;
  }

  // So does the place of who goes by keyboard.
  const keyOf = (one) => one.id || one.getAttribute("href") || one.parentElement.dataset.key || one.textContent;

  function takeBack(part, held) {
    const every = part.querySelectorAll("a, button, input, select, summary, [tabindex]");
    [...every].find((one) => keyOf(one) === held)?.focus({ preventScroll: true });
  }

  function follow() {
    const button = document.getElementById("live");
    if (!button) return;
    const run = document.getElementById("view")?.dataset.stream;
    let source, due, changed = false;
    // What has happened since the page was made, or was told of last, is not missed.
    let seen = button.dataset.after;
    // The next look waits for this one, and twice as long as it took: a slow server is left in peace.
    let rest = REFRESH_MS;
    const refresh = async () => {
      if (document.hidden || !source) { changed = true; due = undefined; return; }
      changed = false;
      const began = performance.now();
      await Promise.allSettled([window.bifurk?.drawAll(), renew()]);
      rest = Math.max(REFRESH_MS, 2 * (performance.now() - began));
      due = undefined;
      if (changed) news();
    };
    const news = (event) => {
      seen = event?.lastEventId || seen;
      if (due === undefined) due = setTimeout(refresh, rest); else changed = true;
    };
    const start = () => {
      source = new EventSource(`${prefix}/api/v1/stream?after=${seen}${run ? `&run=${run}` : ""}`);
      for (const kind of ["snapshot", "alert", "attempt"]) source.addEventListener(kind, news);
    };
    const stop = () => { source.close(); source = undefined; clearTimeout(due); due = undefined; };
    button.addEventListener("click", () => {
      const live = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(live));
      button.textContent = live ? "Live" : "Paused";
      if (live) { start(); refresh(); } else stop();
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && changed) refresh(); });
    addEventListener("pagehide", () => source?.close());
    // Back from the browser's memory.
    addEventListener("pageshow", (event) => { if (event.persisted && source) start(); });
    start();
  }

  for (const part of parts()) told.set(part, part.outerHTML);
  addEventListener("DOMContentLoaded", follow);
  window.bifurkLive = { replace };
})();
