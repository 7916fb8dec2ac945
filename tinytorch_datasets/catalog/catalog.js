/* tinytorch-datasets catalog: catalog/catalog.js */
"use strict";

// Search and filters of the start page: without this script, every data set is listed.
const form = document.querySelector("form.filters");
if (form) {
  const cards = [...document.querySelectorAll(".card")];
  const count = document.querySelector("#count");
  const apply = () => {
    const words = form.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
    let left = 0;
    for (const card of cards) {
      const fits = words.every((word) => card.dataset.words.includes(word))
        && chosen.every((select) => card.dataset[select.name] === select.value);
      card.hidden = !fits;
      left += fits;
    }
    count.textContent = left === cards.length ? count.dataset.all : `${left} of ${count.dataset.all}`;
    document.querySelector("#none").hidden = left > 0;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      form.q.focus();
    }
  });
  apply();
}

// Lines to type can be copied. A page from a server in the room is not secure, where browsers have no clipboard.
const copy = async (code) => {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(code.textContent);
  } else {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
};
for (const figure of document.querySelectorAll("figure.type")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy the lines for ${figure.querySelector("figcaption").textContent}`);
  button.addEventListener("click", async () => {
    await copy(figure.querySelector("code"));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  figure.querySelector("figcaption").append(button);
}
