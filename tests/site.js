// What a page of the documentation site has for the keyboard, what of it is cut off, and what its search finds.
notes = async (page, seen) => {
  const words = PHRASES;
  const [first] = [...page.querySelectorAll("a[href], button, input, [tabindex]")].filter((one) =>
    one.tabIndex >= 0 && one.checkVisibility());
  seen.skips = first.matches(".md-skip") && page.querySelector(first.hash) !== null;
  seen.cut = [...page.querySelectorAll(".md-typeset pre > code, .md-typeset table, .md-typeset__scrollwrap")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1 && ["hidden", "clip"].includes(styles(one).overflowX))
    .map((one) => one.outerHTML.slice(0, 200));
  seen.small = [...page.querySelectorAll(".md-typeset pre > code")].filter((one) =>
    one.checkVisibility() && one.clientWidth < 200).map((one) => one.outerHTML.slice(0, 200));
  // The other scheme of colors, which is one attribute of the page, in the same visit.
  const scheme = page.body.getAttribute("data-md-color-scheme");
  page.body.setAttribute("data-md-color-scheme", scheme === "slate" ? "default" : "slate");
  seen.pale.push(...texts(page).filter((element) => contrast(element) < 4.5).map(shown));
  page.body.setAttribute("data-md-color-scheme", scheme);
  // As the theme's button has it: the words that are there while the block is being copied.
  const blocks = seen.path === "tutorial.html" ? [...page.querySelectorAll("pre > code")] : [];
  seen.copied = blocks.map((one) => {
    one.setAttribute("data-md-copying", "");
    const words = one.innerText.trimEnd();
    one.removeAttribute("data-md-copying");
    return words;
  }).join("\n");
  if (!seen.path.startsWith("index.html") || seen.width < 1000) return;
  page.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }));
  await after(500);
  const input = page.querySelector(".md-search__input");
  seen.focused = page.activeElement === input;
  seen.results = {};
  for (const phrase of words) {
    const before = page.querySelector(".md-search-result__list").textContent;
    input.value = phrase;
    input.dispatchEvent(new KeyboardEvent("keyup", { bubbles: true }));
    for (let wait = 0; wait < 300; wait += 1) {
      // The browser's own clock runs ahead of the search, which is in another thread, but not of the server.
      await fetch("harness.html");
      await after(100);
      if (page.querySelector(".md-search-result__list").textContent !== before) break;
    }
    seen.results[phrase] = [...page.querySelectorAll(".md-search-result__link")].map((one) => one.getAttribute("href"));
  }
};
