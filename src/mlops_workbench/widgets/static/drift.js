// Draws a drift report. Plain DOM and SVG: no library, nothing fetched, texts only through textContent.

const WORDS = { drift: "drift", warn: "watch", ok: "ok", unknown: "n/a" };
const ORDER = { drift: 0, warn: 1, unknown: 2, ok: 3 };
const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "rect", "line", "text", "title", "g"].includes(tag);
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

const short = (x) => {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return x.toExponential(2);
  return String(Number(x.toPrecision(4)));
};
const three = (x) => String(Number(x.toPrecision(3)));
const probability = (p) => (p < 1e-6 ? "<1e-6" : short(p));
const percent = (x) => (x > 0 && x < 0.001 ? "<0.1%" : `${(100 * x).toFixed(1)}%`);

/** The rule of `judge` in monitor/features.py, with the PSI limits moved to `threshold`. */
function statusOf(feature, limits, threshold) {
  const missing = Math.abs(feature.missing_current - feature.missing_reference);
  const found = { psi: feature.psi, js: feature.js, ks: feature.ks, unseen: feature.unseen_share, missing };
  let status = feature.status === "unknown" || (feature.psi === null && feature.ks === null) ? "unknown" : "ok";
  for (const [key, value] of Object.entries(found)) {
    if (value === null || value <= (feature.chance[key] ?? 0)) continue;
    const beyond = excess(key, value, feature.expected[key] ?? 0);
    const drift = key === "psi" ? threshold : limits[`${key}_drift`];
    const warn = key === "psi" ? (limits.psi_warn / limits.psi_drift) * threshold : limits[`${key}_warn`];
    if (beyond >= drift) return "drift";
    if (beyond >= warn) status = "warn";
  }
  return status;
}

/** The function of this name in monitor/features.py: what of a statistic is beyond what chance has on average. */
function excess(key, value, expected) {
  if (key === "js") return Math.sqrt(Math.max(0, value ** 2 - expected ** 2));
  return key === "ks" || key === "missing" ? value : Math.max(0, value - expected);
}

const byChance = (feature, key) => feature[key] !== null && feature[key] <= (feature.chance[key] ?? 0);

const SORTS = {
  drift: (a, b) => ORDER[a.now] - ORDER[b.now] || (b.psi ?? 0) * b.weight - (a.psi ?? 0) * a.weight,
  importance: (a, b) => (b.importance ?? -1) - (a.importance ?? -1),
  name: (a, b) => a.name.localeCompare(b.name),
};

function badge(status) {
  return el("span", { class: `dw-badge dw-${status}` }, WORDS[status]);
}

function psiBar(feature, threshold, limits) {
  const svg = el("svg", { viewBox: "0 0 64 8", width: 64, height: 8, "aria-hidden": "true", style: "margin:0" });
  svg.append(el("rect", { width: 64, height: 8, rx: 2, fill: "currentColor", "fill-opacity": 0.08 }));
  if (feature.psi === null) return svg;
  const full = 2 * threshold;
  const warn = (limits.psi_warn / limits.psi_drift) * threshold;
  const width = 64 * Math.min(1, feature.psi / full);
  // the colour is the verdict, the same as the badge's; grey where so few rows differ by so much anyway
  const level = byChance(feature, "psi") ? "unknown" : feature.now;
  svg.append(el("rect", { width, height: 8, rx: 2, fill: `var(--dw-${level})` }));
  for (const at of [warn, threshold]) {
    const x = (64 * at) / full;
    svg.append(el("line", { x1: x, x2: x, y1: 0, y2: 8, stroke: "currentColor", "stroke-opacity": 0.5 }));
  }
  return svg;
}

/** A round step, so that at most `parts` of them fit into `span`. */
function niceStep(span, parts) {
  const raw = span / parts;
  const unit = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((k) => k * unit).find((step) => step >= raw * 0.999);
}

function histogram({ edges, reference, current }, width) {
  const [height, left, bottom, head] = [212, 44, 24, 8];
  const top = Math.max(...reference, ...current, 1e-9);
  const step = niceStep(top, 5);
  const n = reference.length;
  const x = (i) => left + ((width - left) * i) / n;
  const y = (share) => height - bottom - ((height - bottom - head) * share) / top;
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  svg.append(el("title", {}, "Share of rows per bin, reference and current"));
  for (let k = 0; k * step <= top * 1.001; k++) {
    const share = k * step;
    svg.append(el("line", { class: "dw-grid", x1: left, x2: width, y1: y(share), y2: y(share) }));
    const digits = step < 0.001 ? 2 : step < 0.01 ? 1 : 0;
    const text = `${(100 * share).toFixed(digits)}%`;
    svg.append(el("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, text));
  }
  const outline = (shares) =>
    `M${x(0)} ${y(0)}` + shares.map((s, i) => `V${y(s).toFixed(1)}H${x(i + 1).toFixed(1)}`).join("") + `V${y(0)}`;
  svg.append(el("path", { class: "dw-area", d: outline(reference) }));
  svg.append(el("path", { class: "dw-line", d: outline(current) }));
  const span = edges[n] - edges[0];
  const tick = niceStep(span, 7);
  for (let k = Math.ceil(edges[0] / tick); k * tick <= edges[n]; k++) {
    const at = x((n * (k * tick - edges[0])) / span); // bins are of equal width
    svg.append(el("line", { class: "dw-grid", x1: at, x2: at, y1: y(0), y2: y(0) + 4 }));
    const anchor = at > width - 16 ? "end" : "middle";
    svg.append(el("text", { x: at, y: height - 6, "text-anchor": anchor }, short(k * tick)));
  }
  for (let i = 0; i < n; i++) {
    const low = i === 0 ? "up" : short(edges[i]);
    const range = i === n - 1 ? `${short(edges[i])} and above` : `${low} to ${short(edges[i + 1])}`;
    const told = `${range}\nreference ${percent(reference[i])}\ncurrent ${percent(current[i])}`;
    const box = { class: "dw-hit", x: x(i), y: head, width: x(1) - x(0), height: height - bottom - head };
    svg.append(el("rect", box, el("title", {}, told)));
  }
  return svg;
}

function bars({ labels, reference, current, rest }, width) {
  const longest = Math.min(22, Math.max(...labels.map((label) => label.length)));
  const [left, right, slot] = [Math.max(48, 16 + 7 * longest), 112, 21];
  // "other" sums up many and would press all else flat: its bar is cut, its figures are written beside it
  const own = rest ? labels.length - 1 : labels.length;
  const top = Math.max(...reference.slice(0, own), ...current.slice(0, own), 1e-9);
  const scale = (share) => ((width - left - right) * Math.min(share, top)) / top;
  const height = labels.length * slot + 4;
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  svg.append(el("title", {}, "Share of rows per value, reference and current"));
  labels.forEach((label, i) => {
    const y = i * slot + 4;
    const cut = label.length > 22 ? `${label.slice(0, 21)}…` : label;
    svg.append(el("text", { class: "dw-label", x: left - 8, y: y + 13, "text-anchor": "end" }, cut));
    const opacity = i < own ? 1 : 0.4;
    svg.append(el("rect", { class: "dw-bar-r", x: left, y, width: scale(reference[i]), height: 7, rx: 1, opacity }));
    svg.append(el("rect", { class: "dw-bar-c", x: left, y: y + 8, width: scale(current[i]), height: 7, rx: 1, opacity }));
    const shares = `${percent(reference[i])} → ${percent(current[i])}`;
    svg.append(el("text", { x: width, y: y + 13, "text-anchor": "end" }, shares));
    const told = `${label}\nreference ${percent(reference[i])}\ncurrent ${percent(current[i])}`;
    svg.append(el("rect", { class: "dw-hit", x: 0, y: y - 3, width, height: slot }, el("title", {}, told)));
  });
  return svg;
}

function table(heads, rows) {
  const line = (cells, tag) => el("tr", {}, ...cells.map((cell) => el(tag, {}, cell)));
  return el("table", {}, el("thead", {}, line(heads, "th")), el("tbody", {}, ...rows.map((r) => line(r, "td"))));
}

function statistics(feature, limits, threshold) {
  const rows = [];
  let small = false; // whether chance alone explains what is beyond a limit
  const add = (name, value, key, text = three) => {
    if (value === null || value === undefined) return;
    const drift = key === "psi" ? threshold : limits[`${key}_drift`];
    const warn = key === "psi" ? (limits.psi_warn / limits.psi_drift) * threshold : limits[`${key}_warn`];
    const chance = feature.chance[key] ?? 0;
    const beyond = excess(key, value, feature.expected[key] ?? 0);
    const level = value < warn ? "ok" : value <= chance ? "unknown" : beyond < warn ? "ok" : beyond >= drift ? "drift" : "warn";
    small ||= level === "unknown";
    const shown = el("span", { class: `dw-${level}` }, text(value));
    rows.push([name, shown, text(warn), text(drift), chance ? text(chance) : "–"]);
  };
  add("PSI", feature.psi, "psi");
  add("Jensen–Shannon", feature.js, "js");
  add("KS", feature.ks, "ks");
  if (feature.kind === "category") add("unseen categories", feature.unseen_share, "unseen", percent);
  add("change of missing", Math.abs(feature.missing_current - feature.missing_reference), "missing", percent);
  if (feature.ks_p !== null) rows.push(["KS p-value", probability(feature.ks_p), "", "", ""]);
  if (feature.chi_square_p !== null) rows.push(["chi-square p-value", probability(feature.chi_square_p), "", "", ""]);
  // with many rows chance reaches nothing near a limit: its column would only be one more to read
  const heads = ["statistic", "now", "watch", "drift", ...(small ? ["by chance"] : [])];
  return table(heads, rows.map((row) => row.slice(0, heads.length)));
}

function summary(feature) {
  const rows = Object.keys(feature.reference).map((key) => {
    return [key, short(feature.reference[key]), short(feature.current[key])];
  });
  rows.push(["missing", percent(feature.missing_reference), percent(feature.missing_current)]);
  return table(["", "reference", "current"], rows);
}

function detail(feature, limits, threshold, width) {
  if (!feature) return [el("div", { class: "dw-faint" }, "No feature.")];
  const legend = el("span", { class: "dw-legend" });
  for (const name of ["reference", "current"]) {
    legend.append(el("span", { class: "dw-key", style: `background:var(--dw-${name})` }), name);
  }
  const parts = [el("div", { class: "dw-head" }, el("h3", {}, feature.name), badge(feature.now), legend)];
  if (feature.note) parts.push(el("p", { class: "dw-note dw-faint" }, feature.note));
  const tables = el("div", { class: "dw-tables" }, statistics(feature, limits, threshold), summary(feature));
  const long = feature.overlay?.labels?.length > 8; // figures first, so that a long list does not hide them
  if (long) parts.push(tables);
  if (feature.overlay) parts.push((feature.overlay.edges ? histogram : bars)(feature.overlay, width));
  if (feature.unseen.length) {
    const more = feature.unseen_count - feature.unseen.length;
    const names = feature.unseen.join(", ") + (more > 0 ? ` and ${more} more` : "");
    parts.push(el("p", { class: "dw-note" }, `Unseen in the reference (${percent(feature.unseen_share)}): ${names}`));
  }
  if (!long) parts.push(tables);
  return parts;
}

function performance(found) {
  if (!found) return null;
  const box = el("div", { class: "dw-performance" }, el("span", { class: "dw-faint" }, `${found.n.toLocaleString("en")} of ${found.rows.toLocaleString("en")} rows labelled${found.n ? "" : " yet"}`));
  for (const [name, value] of Object.entries(found.metrics)) {
    const whole = name.replace("predicted_", "");
    if (whole !== name && whole in found.metrics) continue; // stands beside it
    const [before, predicted] = [found.baseline[name], found.metrics[`predicted_${name}`]];
    const beside = (before === undefined ? "" : ` was ${three(before)}`)
      + (predicted === undefined ? "" : ` predicted ${three(predicted)}`);
    const parts = [el("b", {}, three(value)), el("span", { class: "dw-faint" }, beside)];
    box.append(el("span", {}, name.replaceAll("_", " "), ...parts));
  }
  return box;
}

let serial = 0;

function render({ model, el: root }) {
  const id = `dw-${++serial}`;
  const box = el("div", { class: "mlops-dw" });
  root.append(box);
  const state = { filter: "", sort: "drift" };

  const header = el("div");
  const search = el("input", { type: "search", placeholder: "Filter features", "aria-label": "Filter features" });
  const sort = el("select", { "aria-label": "Sort by" });
  for (const key of Object.keys(SORTS)) sort.append(el("option", { value: key }, `by ${key}`));
  const list = el("ul", { class: "dw-list", role: "listbox", tabindex: "0", "aria-label": "Features" });
  const slider = el("input", { type: "range", min: 0.02, max: 1, step: 0.01, "aria-label": "PSI that counts as drift" });
  const shown = el("output");
  const side = el(
    "div", { class: "dw-side" },
    el("div", { class: "dw-tools" }, search, sort),
    el("div", { class: "dw-heads" }, el("span", {}, "feature"), el("span", { class: "dw-psi" }, "PSI"), el("span")),
    list,
    el("label", { class: "dw-limit" }, el("span", {}, "drift from PSI"), slider, shown),
  );
  const right = el("div", { class: "dw-detail", "aria-live": "polite" });
  box.append(header, el("div", { class: "dw-body" }, side, right));

  let space = 0; // width of the detail's content in pixels, so that texts in pictures keep their size
  const watcher = new ResizeObserver(([{ contentRect }]) => {
    const now = Math.floor(contentRect.width);
    if (now === space || now === 0) return;
    space = now;
    drawDetail();
  });

  const features = () => {
    const { features: all, thresholds } = model.get("data");
    const threshold = model.get("threshold");
    return all.map((f) => ({ ...f, now: statusOf(f, thresholds, threshold) }));
  };
  const visible = () => {
    const wanted = state.filter.toLowerCase();
    return features().filter((f) => f.name.toLowerCase().includes(wanted)).sort(SORTS[state.sort]);
  };
  const choose = (name) => {
    if (name === model.get("selected")) return;
    model.set("selected", name);
    model.save_changes();
  };

  function drawHeader() {
    const data = model.get("data");
    const drifted = features().filter((f) => f.now === "drift").length;
    const rows = `${data.current_rows.toLocaleString("en")} rows against ${data.reference_rows.toLocaleString("en")}`;
    const line = `${drifted} of ${data.features.length} features drifted, ${rows}`;
    const parts = [el("h3", {}, data.title), el("div", { class: "dw-faint" }, line)];
    if (data.extra_columns.length) {
      parts.push(el("div", { class: "dw-faint" }, `Not compared: ${data.extra_columns.join(", ")}`));
    }
    header.replaceChildren(...parts, ...[performance(data.performance)].filter(Boolean));
  }

  function drawList() {
    const { thresholds } = model.get("data");
    const threshold = model.get("threshold");
    const chosen = model.get("selected");
    const items = visible().map((feature, i) => {
      const item = el("li", { role: "option", id: `${id}-${i}`, "aria-selected": String(feature.name === chosen) });
      item.append(
        el("span", { class: "dw-name", title: feature.name }, feature.name),
        psiBar(feature, threshold, thresholds),
        el("span", { class: "dw-right dw-faint" }, feature.psi === null ? "–" : feature.psi.toFixed(2)),
        badge(feature.now),
      );
      item.addEventListener("click", () => choose(feature.name));
      return item;
    });
    list.replaceChildren(...(items.length ? items : [el("li", { class: "dw-none" }, "Nothing matches.")]));
    const active = items.find((item) => item.getAttribute("aria-selected") === "true");
    if (active) list.setAttribute("aria-activedescendant", active.id);
    else list.removeAttribute("aria-activedescendant");
    return active;
  }

  function drawDetail() {
    const { thresholds } = model.get("data");
    const feature = features().find((f) => f.name === model.get("selected"));
    right.replaceChildren(...detail(feature, thresholds, model.get("threshold"), Math.max(320, space || 620)));
  }

  function drawAll() {
    slider.value = model.get("threshold");
    shown.textContent = Number(model.get("threshold")).toFixed(2);
    drawHeader();
    drawList();
    drawDetail();
  }

  function onSelected() {
    // only the list scrolls: scrollIntoView would move the notebook too
    const active = drawList();
    if (active) {
      const over = active.offsetTop - list.offsetTop;
      if (over < list.scrollTop) list.scrollTop = over;
      const under = over + active.offsetHeight - list.clientHeight;
      if (under > list.scrollTop) list.scrollTop = under;
    }
    drawDetail();
    right.scrollTop = 0;
  }

  list.addEventListener("keydown", (event) => {
    const names = visible().map((f) => f.name);
    const at = names.indexOf(model.get("selected"));
    const next = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: names.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
    if (names[next] !== undefined) choose(names[next]);
  });
  search.addEventListener("input", () => {
    state.filter = search.value;
    drawList();
  });
  search.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "ArrowDown") {
      event.preventDefault();
      list.focus();
    }
  });
  sort.addEventListener("change", () => {
    state.sort = sort.value;
    drawList();
  });
  slider.addEventListener("input", () => {
    model.set("threshold", Number(slider.value));
    model.save_changes();
  });

  model.on("change:data", drawAll);
  model.on("change:threshold", drawAll);
  model.on("change:selected", onSelected);
  drawAll();
  watcher.observe(right);
  return () => {
    watcher.disconnect();
    model.off("change:data", drawAll);
    model.off("change:threshold", drawAll);
    model.off("change:selected", onSelected);
  };
}

export default { render };
