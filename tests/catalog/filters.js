// What is left on the start page of a catalog by its search and its filter.
notes = async (page, seen) => {
  const form = page.querySelector("form.filters");
  if (!form) return;
  const left = () => [...page.querySelectorAll(".card")].filter((card) => card.checkVisibility()).map((card) =>
    card.querySelector(".name").textContent);
  const choose = (control, value) => {
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    return left();
  };
  page.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }));
  seen.focused = page.activeElement.name;
  seen.all = left();
  seen.searched = choose(form.q, "Frog photographs");
  seen.count = page.querySelector("#count").textContent;
  choose(form.q, "");
  seen.filtered = choose(form.kind, "text");
  seen.both = choose(form.q, "handwritten digits");
  seen.none = page.querySelector("#none").checkVisibility();
  choose(form.q, "");
  choose(form.kind, "");
};
