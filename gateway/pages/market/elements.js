// How is something put on the page? Small words for what the DOM says in long ones.

export const byId = (id) => document.getElementById(id);

// Text always goes in as text: what strangers chose never becomes markup.
export function element(name, options = {}, ...children) {
  const { className, dataset, ...rest } = options;
  const made = document.createElement(name);
  if (className) made.className = className;
  Object.assign(made.dataset, dataset ?? {});
  for (const [key, value] of Object.entries(rest)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function row(...cells) {
  return element("tr", {}, ...cells.map((cell) =>
    cell instanceof HTMLTableCellElement ? cell : element("td", {}, cell)));
}

export function emptyRow(columns, text) {
  return element("tr", { className: "empty" }, element("td", { colSpan: columns }, text));
}

export function shortHash(hash) {
  return `${hash.slice(0, 6)}…${hash.slice(-4)}`;
}

// Run `work` once before the next picture, however often it was asked for.
export function eachFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; work(); });
  };
}

export function localTime(timeNs) {
  return new Date(Number(BigInt(timeNs) / 1_000_000n));
}

const two = (number) => String(number).padStart(2, "0");
export function clock(timeNs) {
  const at = localTime(timeNs);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function dayAndClock(timeNs) {
  const at = localTime(timeNs);
  return `${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(timeNs)}`;
}
