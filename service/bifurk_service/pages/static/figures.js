// Figures come as JSON that Bokeh draws; controls, the address and the live stream decide which.
"use strict";
(() => {
  const REFRESH_MS = 3000;
  const SETTLE_MS = 400;
  const prefix = document.body.dataset.root;
  const form = document.getElementById("view");
  const documents = new Map();

  // The page's state: what its controls and figures show, and nothing else, is in its address.
  function view() {
    const asked = new URLSearchParams(location.search);
    if (form) for (const [name, value] of new FormData(form)) asked.set(name, value);
    return asked;
  }

  function remember(asked) {
    history.replaceState(null, "", `${location.pathname}?${asked}`);
  }

  function addressOf(slot) {
    const asked = view();
    asked.set("theme", document.documentElement.dataset.theme);
    return `${slot.dataset.figure}?${asked}`;
  }

  function say(slot, text, busy = false) {
    slot.querySelector(".state").textContent = text;
    slot.setAttribute("aria-busy", String(busy));
  }

  async function draw(slot) {
    const turn = (slot.turn = (slot.turn || 0) + 1);
    say(slot, slot.querySelector(".canvas").childElementCount ? "" : "Drawing…", true);
    const data = slot.querySelector(".data");
    if (data) data.href = `${slot.dataset.figure}.csv?${view()}`;
    try {
      const answer = await fetch(addressOf(slot), { headers: { Accept: "application/json" } });
      if (turn !== slot.turn) return;
      if (answer.status === 204) return clear(slot, slot.dataset.empty || "Nothing to draw yet.");
      const item = await answer.json();
      if (!answer.ok) return clear(slot, `${item.title}: ${item.detail}`);
      await embed(slot, item, turn);
    } catch (error) {
      if (turn === slot.turn) clear(slot, `The server did not answer (${error.message}).`);
    }
  }

  function forget(slot) {
    const drawn = documents.get(slot);
    if (!drawn) return;
    drawn.clear();
    Bokeh.documents.splice(Bokeh.documents.indexOf(drawn), 1);
    documents.delete(slot);
  }

  function clear(slot, text) {
    forget(slot);
    slot.querySelector(".canvas").replaceChildren();
    say(slot, text);
  }

  async function embed(slot, item, turn) {
    const box = document.createElement("div");
    box.id = `${slot.id}-${turn}`;
    const canvas = slot.querySelector(".canvas");
    const height = canvas.offsetHeight;
    canvas.style.minHeight = `${height}px`;
    forget(slot);
    canvas.replaceChildren(box);
    item.target_id = box.id;
    await Bokeh.embed.embed_item(item, box.id);
    const isDrawn = (one) => one.roots().some((root) => root.id === item.root_id);
    documents.set(slot, Bokeh.documents.find(isDrawn));
    followRange(slot);
    say(slot, "");
    canvas.style.minHeight = "";
    slot.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  // The steps that are looked at stay in the address, and so over every change of control.
  function followRange(slot) {
    const range = documents.get(slot).get_model_by_name("steps");
    if (!range) return;
    const isLog = () => view().get("axis") === "log";
    const step = (at) => Math.max(0, Math.round(isLog() ? 10 ** at - 1 : at));
    let waiting;
    range.change.connect(() => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const asked = view();
        const whole = Math.abs(range.start - range.reset_start) < 1e-9 && Math.abs(range.end - range.reset_end) < 1e-9;
        for (const [name, at] of [["from", range.start], ["to", range.end]]) {
          if (whole) asked.delete(name); else asked.set(name, step(at));
        }
        remember(asked);
      }, SETTLE_MS);
    });
  }

  const slots = () => document.querySelectorAll("[data-figure]");
  const drawAll = () => Promise.all([...slots()].map(draw));

  // Parts of the page that are text: asked for again whole, and only they are replaced.
  async function renew() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other) continue;
      const open = [...part.querySelectorAll("details")].map((one) => one.open);
      part.replaceChildren(...other.childNodes);
      part.querySelectorAll("details").forEach((one, place) => { if (place in open) one.open = open[place]; });
    }
  }

  function follow() {
    const button = document.getElementById("live");
    if (!button) return;
    const run = form?.dataset.stream;
    let source, due, changed = false;
    // The next look waits for this one, and twice as long as it took: a slow server is left in peace.
    let rest = REFRESH_MS;
    const refresh = async () => {
      if (document.hidden || !source) { changed = true; due = undefined; return; }
      changed = false;
      const began = performance.now();
      await Promise.allSettled([drawAll(), renew()]);
      rest = Math.max(REFRESH_MS, 2 * (performance.now() - began));
      due = undefined;
      if (changed) news();
    };
    const news = () => {
      if (due === undefined) due = setTimeout(refresh, rest); else changed = true;
    };
    const start = () => {
      source = new EventSource(`${prefix}/api/v1/stream${run ? `?run=${run}` : ""}`);
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
    start();
  }

  form?.addEventListener("submit", (event) => event.preventDefault());
  form?.addEventListener("change", (event) => {
    const asked = view();
    // Ranges are kept as steps, and hold on either axis.
    remember(asked);
    if (!event.target.hasAttribute("data-quiet")) drawAll();
  });
  document.addEventListener("theme", drawAll);
  addEventListener("DOMContentLoaded", () => { drawAll(); follow(); });
  window.bifurk = { draw, drawAll, view, remember };
})();
