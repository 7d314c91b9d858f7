// Of which parts is each section made?

import { element } from "../market/elements.js";
import { t } from "./words.js";

export function card(title, ...children) {
  const heading = title ? [element("h2", {}, t(title))] : [];
  return element("section", { className: "card" }, ...heading, ...children);
}

export function facts(rows, className = "facts") {
  return element("dl", { className }, ...rows.map(([name, value]) => element("div", {},
    element("dt", {}, t(name)), element("dd", {}, value))));
}

// A table that scrolls by itself where the window is narrow, by keyboard too.
export function table(names, rows, emptyWord) {
  if (rows.length === 0) return element("p", { className: "empty" }, t(emptyWord));
  const head = element("tr", {}, ...names.map((name) =>
    element("th", { scope: "col" }, name ? t(name) : element("span", { className: "unseen" },
      t("what_to_do")))));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell, n) =>
    element("td", { dataset: { label: names[n] ? t(names[n]) : "" } }, cell))));
  const whole = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { className: "scroll" }, whole);
}

export const state = (name, text) => element("span", { className: `state ${name}` }, text);

export function button(word, work, options = {}) {
  return element("button", { type: "button", className: "small", onclick: work, ...options },
    t(word));
}

export function field(word, input) {
  return element("label", {}, element("span", {}, t(word)), input);
}

// A box to tick, with its word behind it; `text` where it is no word of ours.
export function choice(word, options, text = t(word)) {
  return element("label", { className: "choice" },
    element("input", { type: "checkbox", name: word ?? "", ...options }),
    element("span", {}, text));
}

export function form(word, fields, work) {
  const made = element("form", { className: "form" }, ...fields,
    element("button", { type: "submit", className: "act" }, t(word)));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    work(Object.fromEntries(new FormData(made)), made);
  });
  return made;
}

// Something shown once, to be written down.
export function shownOnce(word, text) {
  return element("div", { className: "once", role: "status" },
    element("p", {}, t(word)), element("pre", { tabIndex: 0 }, text));
}
