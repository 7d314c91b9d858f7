// How is the book shown, and how does a price of it get on the ticket? Rows that are filled anew in
// place, each with what may be had up to its price.

import { decimal, grouped, placesOf } from "./amounts.js";
import { byId, eachFrame, element, emptyRow, setText } from "./elements.js";
import { t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export class BookView extends EventTarget {
  #book;
  #terms;
  #levels;
  // The row that the Tab key reaches; arrows move it.
  #at = { side: "asks", index: 0 };

  constructor(book, terms, levels) {
    super();
    this.#book = book;
    this.#terms = terms;
    this.#levels = levels;
    this.drawSoon = eachFrame(() => this.#draw());
    for (const side of ["asks", "bids"]) {
      byId(side).replaceChildren();
      byId(side).addEventListener("click", (event) => this.#chosen(event));
      byId(side).addEventListener("keydown", (event) => this.#moved(event));
    }
  }

  #draw() {
    const bids = this.#book.best("bids", this.#levels);
    const asks = this.#book.best("asks", this.#levels);
    const sum = (levels) => levels.reduce((lots, level) => lots + level.lots, 0);
    const deepest = Math.max(1, sum(bids), sum(asks));
    this.#rows("asks", asks, deepest);
    this.#rows("bids", bids, deepest);
    setText(byId("best-bid"), bids[0] ? grouped(bids[0].price) : "–");
    setText(byId("best-ask"), asks[0] ? grouped(asks[0].price) : "–");
    const spread = bids.length && asks.length
      ? this.#price(asks[0].price_ticks - bids[0].price_ticks) : "–";
    setText(byId("spread-row"), spread);
    setText(byId("spread"), spread);
    this.#rove();
  }

  #price(ticks) {
    const { tickSize } = this.#terms;
    return decimal(BigInt(ticks) * tickSize, placesOf(tickSize));
  }

  #rows(side, levels, deepest) {
    const body = byId(side);
    if (!levels.length) {
      body.replaceChildren(emptyRow(3, t(side === "asks" ? "no_offers" : "no_bids")));
      return;
    }
    if (body.querySelector(".empty")) body.replaceChildren();
    while (body.rows.length > levels.length) body.deleteRow(side === "asks" ? 0 : -1);
    while (body.rows.length < levels.length) {
      if (side === "asks") body.prepend(levelRow());
      else body.append(levelRow());
    }
    let lots = 0;
    levels.forEach((level, n) => {
      lots += level.lots;
      const line = body.rows[side === "asks" ? levels.length - 1 - n : n];
      this.#fill(line, side, level, lots, Math.floor((lots * 100) / deepest));
    });
  }

  #fill(line, side, level, lots, share) {
    const [price, quantity, total] = line.cells;
    const button = price.querySelector("button");
    const { lotPips } = this.#terms;
    const sum = decimal(BigInt(lots) * lotPips, placesOf(lotPips));
    line.querySelector("rect").setAttribute("width", share);
    if (button.dataset.ticks !== String(level.price_ticks)) {
      button.dataset.ticks = level.price_ticks;
      setText(button, grouped(level.price));
    }
    button.dataset.lots = lots;
    setText(quantity, level.quantity);
    setText(total, sum);
    button.setAttribute("aria-label", t(side === "asks" ? "level_ask" : "level_bid",
      { price: level.price, quantity: level.quantity, total: sum }));
  }

  #buttons(side) {
    return [...byId(side).querySelectorAll("button")];
  }

  // One of all levels is in the order of Tab, or a keyboard would need 24 presses to get past.
  #rove() {
    for (const side of ["asks", "bids"]) {
      const buttons = this.#buttons(side);
      buttons.forEach((button, n) => {
        const at = side === "asks" ? buttons.length - 1 - n : n;
        button.tabIndex = side === this.#at.side && at === this.#at.index ? 0 : -1;
      });
    }
    if (!document.querySelector('.book button[tabindex="0"]')) {
      const first = this.#buttons("asks").at(-1) ?? this.#buttons("bids")[0];
      if (first) first.tabIndex = 0;
    }
  }

  #moved(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.matches("button")) return;
    event.preventDefault();
    const all = [...this.#buttons("asks"), ...this.#buttons("bids")];
    const next = all[all.indexOf(event.target) + step];
    if (!next) return;
    const side = next.closest("tbody").id;
    const buttons = this.#buttons(side), n = buttons.indexOf(next);
    this.#at = { side, index: side === "asks" ? buttons.length - 1 - n : n };
    this.#rove();
    next.focus();
  }

  #chosen(event) {
    const button = event.target.closest("tr")?.querySelector("button");
    if (!button) return;
    const side = event.currentTarget.id === "asks" ? "buy" : "sell";
    const { ticks, lots } = button.dataset;
    this.dispatchEvent(new CustomEvent("chosen",
      { detail: { side, ticks: BigInt(ticks), lots: BigInt(lots) } }));
  }
}

function levelRow() {
  const bar = document.createElementNS(SVG, "svg"), rect = document.createElementNS(SVG, "rect");
  bar.setAttribute("class", "bar");
  bar.setAttribute("viewBox", "0 0 100 1");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  rect.setAttribute("height", "1");
  bar.append(rect);
  return element("tr", {},
    element("td", {}, bar, element("button", { type: "button", className: "level", tabIndex: -1 })),
    element("td"), element("td"));
}
