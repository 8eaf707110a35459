// One page of rows as an ARIA grid. The kernel sends strings; they are set as text, never as HTML.

let grids = 0;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const id = `bald-grid-${++grids}`;
  const body = element("tbody");
  const head = element("tr", { role: "row", "aria-rowindex": 1 });
  const table = element("table", { role: "grid", tabindex: 0 }, element("thead", {}, head), body);
  const place = element("span");
  const buttons = [
    ["«", "first page", () => 0],
    ["‹", "page before", (chosen, size) => chosen - size],
    ["›", "next page", (chosen, size) => chosen + size],
    ["»", "last page", (chosen, size, total) => total - 1],
  ].map(([sign, says, target]) => {
    const button = element("button", { type: "button", "aria-label": says, title: says }, sign);
    button.onclick = () => move(target);
    return button;
  });
  el.replaceChildren(
    element("div", { class: "bald-grid" }, element("div", { class: "bald-rows" }, table),
      element("nav", { "aria-label": "Pages" }, ...buttons.slice(0, 2), place, ...buttons.slice(2)),
      element("p", { class: "note" }, "In the table: ↑ ↓ go from row to row, Page Up and Page Down from page to page, "
        + "Home and End to the ends. A click on a heading sorts.")),
  );

  function move(target) {
    const { size, total } = model.get("page");
    const position = Math.max(0, Math.min(total - 1, target(model.get("chosen"), size, total)));
    model.set("chosen", position);
    model.save_changes();
  }

  function drawHead() {
    const [sorted, descending] = model.get("sort");
    head.replaceChildren(...model.get("columns").map(({ key, title, number, falling }) => {
      const direction = key !== sorted ? "none" : descending ? "descending" : "ascending";
      const sign = { none: "", descending: "\u00a0▼", ascending: "\u00a0▲" }[direction];
      const button = element("button", { type: "button", title: `sort by ${title}` }, title + sign);
      button.onclick = () => {
        model.set("sort", [key, key === sorted ? !descending : falling]);
        model.save_changes();
        head.querySelector(`[data-key="${key}"] button`).focus();
      };
      const cell = { role: "columnheader", scope: "col", "aria-sort": direction, "data-key": key };
      return element("th", { ...cell, class: number ? "number" : "" }, button);
    }));
  }

  function drawRows() {
    const { rows, found, first, total, says } = model.get("page");
    const columns = model.get("columns");
    table.setAttribute("aria-label", says);
    table.setAttribute("aria-rowcount", total + 1);
    body.replaceChildren(...rows.map((cells, i) => {
      const row = element("tr", { role: "row", id: `${id}-${first + i}`, "aria-rowindex": first + i + 2 });
      row.append(...cells.map((text, c) => {
        const { key, number } = columns[c];
        const pieces = (found[i]?.[c] ?? [text]).map((piece, p) => (p % 2 ? element("mark", {}, piece) : piece));
        return element("td", { role: "gridcell", dir: "auto", title: text, class: number ? "number" : key }, ...pieces);
      }));
      row.onclick = () => move(() => first + i);
      return row;
    }));
    place.textContent = total ? `rows ${first + 1}–${first + rows.length} of ${total.toLocaleString("en")}` : "no rows";
    drawChosen();
  }

  function drawChosen() {
    const chosen = `${id}-${model.get("chosen")}`;
    for (const row of body.children) row.setAttribute("aria-selected", row.id === chosen);
    table.setAttribute("aria-activedescendant", chosen);
    if (table.contains(document.activeElement)) document.getElementById(chosen)?.scrollIntoView({ block: "nearest" });
  }

  const keys = {
    ArrowDown: (chosen) => chosen + 1,
    ArrowUp: (chosen) => chosen - 1,
    PageDown: (chosen, size) => chosen + size,
    PageUp: (chosen, size) => chosen - size,
    Home: () => 0,
    End: (chosen, size, total) => total - 1,
  };
  table.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(keys[event.key]);
  });

  function download({ name, text }) {
    const link = element("a", { download: name });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // The arrow keys are JupyterLab's, too, unless an element says that it has its own use for them. The handles of
  // ipywidgets' sliders and the buttons of its player have no name for screen readers.
  function settle() {
    const root = el.closest(".bald-explorer") ?? el;
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    root.querySelectorAll(".widget-play button").forEach((button, i) => {
      button.setAttribute("aria-label", ["play the rounds", "stop", "repeat"][i] ?? "");
    });
    for (const slider of root.querySelectorAll(".widget-slider")) {
      const name = slider.querySelector("label")?.textContent ?? "";
      const handles = slider.querySelectorAll(".noUi-handle");
      const ends = handles.length > 1 ? ["lowest ", "highest "] : [""];
      handles.forEach((handle, i) => handle.setAttribute("aria-label", ends[i] + name));
    }
  }
  el.addEventListener("focusin", settle);
  setTimeout(settle, 500);

  // A button of the details that names a run opens the chosen row in it.
  function open(event) {
    const run = event.target.closest?.("[data-run]")?.dataset.run;
    if (run && el.isConnected && el.closest(".bald-explorer")?.contains(event.target)) model.send({ open: run });
  }
  document.addEventListener("click", open);

  model.on("change:columns", drawHead);
  model.on("change:sort", drawHead);
  model.on("change:page", drawRows);
  model.on("change:chosen", drawChosen);
  model.on("msg:custom", download);
  drawHead();
  drawRows();
  return () => {
    document.removeEventListener("click", open);
    model.off(null, null, null);
  };
}

export default { render };
