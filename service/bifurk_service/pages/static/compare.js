// The page of comparisons: choices that need another page, and its slower parts of text.
"use strict";
(() => {
  const form = document.getElementById("view");
  const parts = document.querySelectorAll("[data-part]");

  function reload() {
    const asked = window.bifurk.view();
    for (const [name, value] of [...asked]) if (value === "") asked.delete(name);
    location.assign(`${location.pathname}?${asked}`);
  }

  // Links to another tensor keep what the controls say now, not what they said once.
  function relink() {
    for (const link of document.querySelectorAll("[data-part] a[data-tensor]")) {
      const asked = window.bifurk.view();
      const row = link.closest("tr");
      if (asked.get("tensor") === link.dataset.tensor) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      asked.set("tensor", link.dataset.tensor);
      link.href = `${location.pathname}?${asked}${link.hash}`;
    }
  }

  async function fill(part) {
    const turn = (part.turn = (part.turn || 0) + 1);
    part.setAttribute("aria-busy", "true");
    let text = "";
    try {
      const answer = await fetch(`${part.dataset.part}?${window.bifurk.view()}`);
      if (turn !== part.turn) return;
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (turn !== part.turn) return;
        part.replaceChildren(...fresh.body.childNodes);
      } else {
        const problem = await answer.json();
        text = `${problem.title}: ${problem.detail}`;
      }
    } catch (error) {
      text = `The server did not answer (${error.message}).`;
    }
    if (turn !== part.turn) return;
    if (text) {
      const line = document.createElement("p");
      line.className = "muted";
      line.textContent = text;
      part.replaceChildren(line);
    }
    relink();
    part.setAttribute("aria-busy", "false");
  }

  form.addEventListener("change", (event) => {
    if (event.target.dataset.good) {
      const chosen = [...form.querySelectorAll("[data-good]:checked")].map((one) => one.dataset.good);
      form.elements.good.value = chosen.join(",");
      event.stopImmediatePropagation();
      return;
    }
    if (!event.target.hasAttribute("data-reload")) {
      relink();
      for (const part of parts) if (part.hasAttribute("data-follows")) fill(part);
      return;
    }
    event.stopImmediatePropagation();
    reload();
  }, { capture: true });
  form.addEventListener("submit", (event) => { event.preventDefault(); reload(); });
  document.getElementById("hold")?.addEventListener("click", reload);
  addEventListener("DOMContentLoaded", () => parts.forEach(fill));
})();
