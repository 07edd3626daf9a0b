// Figures come as JSON that Bokeh draws; controls and the address decide which.
"use strict";
(() => {
  const SETTLE_MS = 400;
  const PHONE = 640;
  const SHORT_NAME = 20;
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
    let failed = "The server did not answer";
    try {
      const answer = await fetch(addressOf(slot), { headers: { Accept: "application/json" } });
      if (turn !== slot.turn) return;
      if (answer.status === 204) return clear(slot, slot.dataset.empty || "Nothing to draw yet.");
      const item = await answer.json();
      if (turn !== slot.turn) return;
      if (!answer.ok) return clear(slot, `${item.title}: ${item.detail}`);
      failed = "The browser could not draw it";
      await embed(slot, item, turn);
    } catch (error) {
      if (turn === slot.turn) clear(slot, `${failed} (${error.message}).`);
    }
  }

  const models = (drawn) => drawn.roots().flatMap((root) => [...root.references()]);

  // What is hidden by a click on a legend stays so when the figure is drawn again.
  function* entries(drawn) {
    const legends = models(drawn).filter((model) => model.type === "Legend");
    for (const [place, legend] of legends.entries()) {
      for (const item of legend.items) {
        if (item.renderers.length) yield [`${place} ${item.label?.value}`, item.renderers];
      }
    }
  }

  function rememberHidden(slot, drawn) {
    slot.hiddenEntries = new Set(slot.hiddenEntries);
    for (const [name, renderers] of entries(drawn)) {
      if (renderers.every((one) => !one.visible)) slot.hiddenEntries.add(name);
      else slot.hiddenEntries.delete(name);
    }
  }

  function hideAgain(slot) {
    if (!slot.hiddenEntries?.size) return;
    for (const [name, renderers] of entries(documents.get(slot))) {
      if (slot.hiddenEntries.has(name)) for (const one of renderers) one.visible = false;
    }
  }

  function forget(slot) {
    const drawn = documents.get(slot);
    if (!drawn) return;
    rememberHidden(slot, drawn);
    discard(drawn);
    documents.delete(slot);
  }

  function discard(drawn) {
    drawn.clear();
    Bokeh.documents.splice(Bokeh.documents.indexOf(drawn), 1);
  }

  function clear(slot, text) {
    forget(slot);
    slot.querySelector(".canvas").replaceChildren();
    say(slot, text);
  }

  // On a phone long names beside a picture would leave it no room; the hover has them whole.
  function shortenNames(part) {
    for (const value of Object.values(part)) {
      if (value === null || typeof value !== "object") continue;
      for (const label of value.major_label_overrides?.entries ?? []) {
        if (typeof label[1] === "string") label[1] = shortened(label[1]);
      }
      shortenNames(value);
    }
  }

  // blocks.2.attention.output.weight is b.2.a.output.weight: its layer and its end tell most.
  function shortened(name) {
    if (name.length <= SHORT_NAME) return name;
    const parts = name.split(".");
    const first = parts.slice(0, -2).map((one) => (/^\d+$/.test(one) ? one : one[0] ?? ""));
    const short = [...first, ...parts.slice(-2)].join(".");
    return short.length <= SHORT_NAME ? short : `${short.slice(0, 7)}…${short.slice(8 - SHORT_NAME)}`;
  }

  async function embed(slot, item, turn) {
    if (innerWidth <= PHONE) shortenNames(item);
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
    const drawn = Bokeh.documents.find(isDrawn);
    if (turn !== slot.turn) return discard(drawn);
    documents.set(slot, drawn);
    hideAgain(slot);
    followRange(slot);
    say(slot, "");
    canvas.style.minHeight = "";
    slot.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  // The steps that are looked at stay in the address, and so over every change of control.
  function followRange(slot) {
    // Not by name alone: a scalar may be called so as well.
    const range = models(documents.get(slot)).find((one) => one.type === "Range1d" && one.name === "steps");
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

  form?.addEventListener("submit", (event) => event.preventDefault());
  form?.addEventListener("change", (event) => {
    const asked = view();
    // Ranges are kept as steps, and hold on either axis.
    remember(asked);
    if (!event.target.hasAttribute("data-quiet")) drawAll();
  });
  document.addEventListener("theme", drawAll);
  addEventListener("DOMContentLoaded", drawAll);
  window.bifurk = { draw, drawAll, view, remember };
})();
