// A page that lives: it asks for a newer one, and puts it in the place of this one.
const pause = Number(document.body.dataset.live) * 1000;
let version = document.body.dataset.version;

// What is on the screen now: its name and how far down, to have it there afterwards.
function anchor() {
  for (const one of document.querySelectorAll("main [id]")) {
    const box = one.getBoundingClientRect();
    if (box.bottom > 0 && box.height) return [one.id, box.top];
  }
  return null;
}

function put(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const main = document.querySelector("main");
  const at = anchor();
  const open = [...main.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
  const boxes = [...main.querySelectorAll("[tabindex]")]
    .map((one) => [one.getAttribute("aria-label"), one.scrollTop, one.scrollLeft]);
  const target = main.querySelector("tr.target");
  const focused = document.activeElement && main.contains(document.activeElement) ? document.activeElement.id : "";
  main.replaceWith(document.importNode(fresh.querySelector("main"), true));
  document.title = fresh.title;
  version = fresh.body.dataset.version;
  start();
  for (const [id, was] of open) {
    const one = document.getElementById(id);
    if (one) one.open = was;
  }
  for (const [name, top, left] of boxes) {
    const one = name && document.querySelector(`main [aria-label="${CSS.escape(name)}"][tabindex]`);
    if (one) { one.scrollTop = top; one.scrollLeft = left; }
  }
  const row = target && document.getElementById(target.id);
  if (row) row.classList.add("target");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  const same = at && document.getElementById(at[0]);
  if (same) window.scrollBy({ top: same.getBoundingClientRect().top - at[1], behavior: "instant" });
}

function pulse(text) {
  const line = document.getElementById("pulse");
  if (line) line.textContent = text;
}

async function ask() {
  try {
    if (!document.hidden) {
      const answer = await fetch(location.pathname, {
        cache: "no-store",
        headers: { "If-None-Match": `"${version}"` },
      });
      if (answer.status === 200) put(await answer.text());
      else if (answer.status !== 304) throw new Error(String(answer.status));
      pulse(`Updated ${new Date().toLocaleTimeString()}`);
    }
  } catch {
    pulse("Not updated: robusttune watch no longer responds.");
  }
  setTimeout(ask, pause);
}
setTimeout(ask, pause);
