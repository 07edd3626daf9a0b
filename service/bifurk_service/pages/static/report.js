// The figures of a report: their data is in the file, drawn light or dark.
"use strict";
(() => {
  const drawn = new Map();

  function forget(slot) {
    const document = drawn.get(slot);
    if (!document) return;
    document.clear();
    Bokeh.documents.splice(Bokeh.documents.indexOf(document), 1);
    drawn.delete(slot);
  }

  async function draw(slot) {
    const turn = (slot.turn = (slot.turn || 0) + 1);
    const theme = document.documentElement.dataset.theme;
    const item = JSON.parse(document.getElementById(`${slot.id}-${theme}`).textContent);
    const box = document.createElement("div");
    box.id = `${slot.id}-${theme}-${turn}`;
    forget(slot);
    slot.querySelector(".canvas").replaceChildren(box);
    item.target_id = box.id;
    await Bokeh.embed.embed_item(item, box.id);
    if (turn !== slot.turn) return;
    const isDrawn = (one) => one.roots().some((root) => root.id === item.root_id);
    drawn.set(slot, Bokeh.documents.find(isDrawn));
    slot.setAttribute("aria-busy", "false");
  }

  const drawAll = () => document.querySelectorAll("[data-drawn]").forEach(draw);
  document.addEventListener("theme", drawAll);
  addEventListener("DOMContentLoaded", drawAll);
})();
