"use strict";
const root = document.querySelector(".robusttune");
// What the reader has chosen, kept where a living page is put anew.
const chosen = { sort: null, up: true, filter: "", named: "", hidden: new Set(), limit: 0 };
const columnRules = document.head.appendChild(document.createElement("style"));

function startTheme() {
  const toggle = document.getElementById("theme");
  if (!toggle) return;
  toggle.hidden = false;
  const isDark = () => getComputedStyle(root).colorScheme === "dark";
  const name = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  name();
}

function startTable() {
  const table = document.getElementById("trials");
  if (!table) return null;
  const body = table.tBodies[0];
  const first = Number(table.dataset.first);
  chosen.limit = Math.max(chosen.limit, first);
  const rows = [...body.rows];
  const texts = new Map();
  const column = (index) => {
    if (!texts.has(index)) {
      const cells = rows.map((row) => row.cells[index].textContent.trim());
      const numeric = cells.every((cell) => cell === "" || !Number.isNaN(Number(cell)));
      texts.set(index, new Map(rows.map((row, place) =>
        [row, numeric && cells[place] !== "" ? Number(cells[place]) : cells[place]])));
    }
    return texts.get(index);
  };
  const kept = (row) => {
    if (chosen.filter === "x") return "x" in row.dataset;
    if (chosen.filter === "b") return "b" in row.dataset;
    return !chosen.filter || row.dataset.k === chosen.filter.slice(1);
  };
  const order = new Intl.Collator(undefined, { numeric: true });
  const heads = [...table.tHead.rows[0].cells];
  let visible = rows;
  const show = () => {
    visible = rows.filter(kept);
    if (chosen.filter === "b" && chosen.sort === null) visible.sort((a, b) => a.dataset.b - b.dataset.b);
    const index = heads.findIndex((head) => head.textContent === chosen.sort);
    heads.forEach((head, place) => {
      if (place === index) head.setAttribute("aria-sort", chosen.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    if (index >= 0) {
      const values = column(index);
      visible.sort((left, right) => {
        const a = values.get(left), b = values.get(right);
        if (a === "" || b === "") return (a === "") - (b === "");
        const by = typeof a === "number" ? a - b : order.compare(a, b);
        return chosen.up ? by : -by;
      });
    }
    body.replaceChildren(...visible.slice(0, chosen.limit));
    const count = Math.min(chosen.limit, visible.length);
    document.getElementById("shown").textContent =
      `${count.toLocaleString("en")} of ${visible.length.toLocaleString("en")} rows`;
    document.getElementById("more").hidden = count >= visible.length;
  };
  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      chosen.up = chosen.sort === button.textContent ? !chosen.up : true;
      chosen.sort = button.textContent;
      show();
    });
  });
  const filter = document.getElementById("filter");
  // By its name: the number of a cause changes with how frequent it is.
  const again = [...filter.options].find((option) => option.textContent === chosen.named);
  filter.value = chosen.filter = again ? again.value : "";
  filter.addEventListener("change", () => {
    chosen.filter = filter.value;
    chosen.named = filter.selectedOptions[0].textContent;
    chosen.limit = first;
    show();
  });
  const hide = () => {
    const places = heads.flatMap((head, place) => chosen.hidden.has(head.textContent) ? [place + 1] : []);
    columnRules.textContent = places.map((place) => `#trials :is(th,td):nth-child(${place}){display:none}`).join("");
  };
  for (const box of document.querySelectorAll("#columns input")) {
    const name = heads[box.value - 1].textContent;
    box.checked = !chosen.hidden.has(name);
    box.addEventListener("change", () => {
      if (box.checked) chosen.hidden.delete(name); else chosen.hidden.add(name);
      hide();
    });
  }
  document.getElementById("more").addEventListener("click", () => { chosen.limit += 5 * first; show(); });
  const tools = document.getElementById("tools");
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  hide();
  show();
  const byId = new Map(rows.map((row) => [row.id, row]));
  return {
    // Bring a row into the table, whatever is filtered and however few are shown.
    reveal(id) {
      const row = byId.get(id);
      if (!row) return null;
      if (!visible.includes(row)) { chosen.filter = chosen.named = filter.value = ""; show(); }
      const place = visible.indexOf(row);
      if (place >= chosen.limit) { chosen.limit = place + 1; show(); }
      return row;
    },
    told(id) {
      const row = byId.get(id);
      if (!row) return "";
      return [...row.cells].slice(0, 10).flatMap((cell, place) => {
        const text = cell.textContent.trim();
        const name = heads[place].textContent;
        return text && !chosen.hidden.has(name) ? [`${name}: ${text.slice(0, 90)}`] : [];
      }).join("\n");
    },
  };
}

let table = null;

function go(id) {
  const target = (table && table.reveal(id)) || document.getElementById(id);
  if (!target) return false;
  for (let outer = target; outer; outer = outer.parentElement) {
    if (outer.tagName === "DETAILS") outer.open = true;
  }
  document.querySelectorAll("tr.target").forEach((row) => row.classList.remove("target"));
  if (target.tagName === "TR") target.classList.add("target");
  target.scrollIntoView({ block: target.tagName === "TR" ? "center" : "start" });
  return true;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  const id = decodeURIComponent(link.getAttribute("href").slice(1));
  if (go(id)) { event.preventDefault(); history.pushState(null, "", "#" + id); }
});
window.addEventListener("popstate", () => { if (location.hash) go(decodeURIComponent(location.hash.slice(1))); });

// Marks: the trial under the pointer, and a click to its row.
const near = 9;
const places = new WeakMap();
function pointsOf(path) {
  if (!places.has(path)) {
    const keys = path.dataset.t.split(" ");
    places.set(path, [...path.getAttribute("d").matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)]
      .map((match, index) => [Number(match[1]), Number(match[2]), keys[index]]));
  }
  return places.get(path);
}
function markAt(event) {
  const svg = event.target.closest && event.target.closest("svg[role=img]");
  if (!svg) return null;
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
  let best = near / scale, found = null;
  for (const path of svg.querySelectorAll("path[data-t]")) {
    for (const [px, py, key] of pointsOf(path)) {
      const far = Math.hypot(px - x, py - y);
      if (far <= best) { best = far; found = key; }
    }
  }
  return found;
}
const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const key = markAt(event);
  const text = key !== null && table ? table.told("t" + key) : "";
  tip.hidden = !text;
  root.classList.toggle("pointing", Boolean(text));
  if (!text) return;
  tip.textContent = text;
  const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18;
  tip.style.left = Math.max(8, right) + "px";
  tip.style.top = (below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below) + "px";
});
document.addEventListener("click", (event) => {
  const key = markAt(event);
  if (key !== null && go("t" + key)) history.pushState(null, "", "#t" + key);
});

function startCopying() {
  for (const code of document.querySelectorAll(".code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    code.append(button);
    button.addEventListener("click", async () => {
      const pre = code.querySelector("pre");
      getSelection().selectAllChildren(pre);
      let done = false;
      try {
        await navigator.clipboard.writeText(pre.textContent);
        done = true;
      } catch {
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

function start() {
  startTheme();
  table = startTable();
  startCopying();
}
start();
if (location.hash) go(decodeURIComponent(location.hash.slice(1)));
