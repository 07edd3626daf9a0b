// A step of a tensor: chosen on the slider or in the garden, shown without drawing all anew.
"use strict";
(() => {
  const SETTLE_MS = 120;
  const AT_STEP = ["histogram", "spectrum"];
  const slider = document.getElementById("scrub");
  const field = document.getElementById("step");
  const shown = document.getElementById("shown");
  const stored = document.getElementById("stored");
  let steps = [];
  let waiting;
  let turn = 0;

  const isLast = (index) => index === steps.length - 1;

  // Where the stored steps lie, as the server last told; who looks at the last one follows it.
  function readSteps() {
    const was = field.disabled ? undefined : Number(field.value);
    steps = JSON.parse(stored.querySelector("[data-steps]").dataset.steps);
    document.querySelector(".scrub").hidden = !steps.length;
    if (!steps.length) return;
    slider.max = steps.length - 1;
    show(was === undefined ? steps.length - 1 : nearest(was));
  }

  function nearest(step) {
    let best = 0;
    for (let index = 1; index < steps.length; index++) {
      if (Math.abs(steps[index] - step) < Math.abs(steps[best] - step)) best = index;
    }
    return best;
  }

  function show(index) {
    slider.value = index;
    field.value = steps[index];
    field.disabled = isLast(index);
    const text = steps[index].toLocaleString("en-US");
    shown.textContent = isLast(index) ? `${text} (the last)` : text;
    slider.setAttribute("aria-valuetext", `step ${shown.textContent}`);
    moveLines();
  }

  function choose(index) {
    show(index);
    clearTimeout(waiting);
    waiting = setTimeout(settle, SETTLE_MS);
  }

  function settle() {
    const asked = window.bifurk.view();
    if (field.disabled) asked.delete("step");
    window.bifurk.remember(asked);
    for (const name of AT_STEP) window.bifurk.draw(document.getElementById(name));
    renewTexts();
  }

  // The texts about the step; the page itself is asked for them.
  async function renewTexts() {
    const mine = ++turn;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || mine !== turn) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine !== turn) return;
    for (const id of ["statistics", "histogram-note", "spectrum-note"]) {
      window.bifurkLive.replace(document.getElementById(id), fresh.getElementById(id));
    }
  }

  // A figure that cannot be drawn gives its place to the reason.
  function giveWay() {
    for (const name of AT_STEP) {
      const note = document.getElementById(`${name}-note`);
      const reason = note.textContent.trim();
      note.hidden = !reason;
      document.getElementById(name).hidden = Boolean(reason);
    }
  }

  const isLog = () => document.getElementById("view").elements.axis.value === "log";
  const placeOf = (step) => (isLog() ? Math.log10(step + 1) : step);
  const stepAt = (place) => (isLog() ? 10 ** place - 1 : place);

  function named(name) {
    return globalThis.Bokeh?.documents.map((one) => one.get_model_by_name(name)).find(Boolean);
  }

  function moveLines() {
    for (let place = 0; ; place++) {
      const line = named(`at-${place}`);
      if (!line) return;
      line.location = placeOf(Number(field.value));
    }
  }

  function listen(event) {
    if (event.target.id !== "garden") return;
    const plot = named("garden");
    if (plot) {
      plot.on_event("tap", (tap) => { if (steps.length) choose(nearest(stepAt(tap.x))); });
      plot.document.event_manager.subscribed_models.add(plot);
    }
    moveLines();
  }

  // Links carry the view along, so that neighbours are seen as this one is.
  function keepView() {
    const asked = window.bifurk.view();
    if (field.disabled) asked.delete("step");
    for (const link of document.querySelectorAll("[data-csv]")) link.href = `${link.dataset.csv}?${asked}`;
    for (const link of document.querySelectorAll("[data-keeps-view]")) link.search = `?${asked}`;
  }

  slider.addEventListener("input", () => choose(Number(slider.value)));
  document.addEventListener("drawn", listen);
  document.addEventListener("pointerdown", keepView);
  document.addEventListener("focusin", keepView);
  new MutationObserver(readSteps).observe(stored, { childList: true });
  for (const name of AT_STEP) {
    new MutationObserver(giveWay).observe(document.getElementById(`${name}-note`), { childList: true });
  }
  readSteps();
  giveWay();
})();
