// A table of runs. Plain DOM: no library, nothing fetched, texts only through textContent.

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Runs without the figure come last, whichever way it goes. */
function byColumn(column, down) {
  return (a, b) => {
    const [x, y] = [a[column].value, b[column].value];
    if (x === y) return 0;
    if (x === null || y === null) return x === null ? 1 : -1;
    const numbers = typeof x === "number" && typeof y === "number";
    const order = numbers ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return down ? -order : order;
  };
}

function render({ model, el: root }) {
  const state = { column: null, down: true, filter: "" };
  const search = el("input", { type: "search", placeholder: "Filter runs", "aria-label": "Filter runs" });
  const count = el("span", { class: "rw-faint", "aria-live": "polite" });
  const table = el("table");
  const picture = el("div");
  root.append(el("div", { class: "mlops-rw" }, el("div", { class: "rw-tools" }, search, count), el("div", { class: "rw-scroll" }, table), picture));

  function choose(column) {
    const { numbers } = model.get("data");
    state.down = state.column === column ? !state.down : numbers[column];
    state.column = column;
    draw();
    table.querySelectorAll("th button")[column]?.focus();
  }

  function draw() {
    const { heads, numbers, rows } = model.get("data");
    const wanted = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      const text = row.map((cell) => cell.text).join(" ").toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
    if (state.column !== null) found.sort(byColumn(state.column, state.down));
    count.textContent = found.length === rows.length ? `${rows.length} runs` : `${found.length} of ${rows.length} runs`;
    const head = el("tr");
    heads.forEach((name, i) => {
      const mine = i === state.column;
      const button = el("button", { type: "button" }, name, el("span", { "aria-hidden": "true" }, mine ? (state.down ? " ↓" : " ↑") : ""));
      button.addEventListener("click", () => choose(i));
      const sorted = mine ? (state.down ? "descending" : "ascending") : "none";
      head.append(el("th", { class: numbers[i] ? "rw-right" : "", "aria-sort": sorted, scope: "col" }, button));
    });
    const lines = found.map((row) =>
      el("tr", {}, ...row.map((cell, i) => el("td", { class: numbers[i] ? "rw-right" : "" }, cell.text))),
    );
    const none = el("tr", {}, el("td", { colspan: heads.length, class: "rw-faint" }, rows.length ? "Nothing matches." : "(none)"));
    table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...(lines.length ? lines : [none])));
  }

  function drawPicture() {
    const text = model.get("data").picture;
    if (!text) return picture.replaceChildren();
    const read = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    picture.replaceChildren(document.importNode(read, true));
  }

  function drawAll() {
    state.column = null;
    draw();
    drawPicture();
  }

  search.addEventListener("input", () => {
    state.filter = search.value;
    draw();
  });
  search.addEventListener("keydown", (event) => event.stopPropagation()); // the notebook has keys of its own
  model.on("change:data", drawAll);
  drawAll();
  return () => model.off("change:data", drawAll);
}

export default { render };
