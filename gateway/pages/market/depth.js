// How deep is the book? Both sides as steps of what could be had up to each price.
//
// Numbers here are for drawing only: no amount is computed from a pixel.

import { decimal, grouped } from "./amounts.js";
import { byId, eachFrame, setText } from "./elements.js";
import { t } from "./words.js";

const LEVELS = 200, PAD_BOTTOM = 22, PAD_TOP = 16, LABELS_MAX = 5;

export class DepthChart {
  #book;
  #terms;
  #canvas = byId("depth");
  #pointer = null;

  constructor(book, terms) {
    this.#book = book;
    this.#terms = terms;
    this.drawSoon = eachFrame(() => this.#draw());
    new ResizeObserver(() => this.drawSoon()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawSoon());
    this.#canvas.addEventListener("pointermove", ({ offsetX }) => {
      this.#pointer = offsetX;
      this.drawSoon();
    });
    this.#canvas.addEventListener("pointerleave", () => { this.#pointer = null; this.drawSoon(); });
  }

  #sums(side) {
    let lots = 0;
    return this.#book.best(side, LEVELS)
      .map((level) => ({ ticks: level.price_ticks, lots: lots += level.lots }));
  }

  #draw() {
    const canvas = this.#canvas;
    if (!canvas.checkVisibility()) return;
    const { clientWidth: width, clientHeight: height } = canvas, scale = devicePixelRatio;
    if (canvas.width !== width * scale || canvas.height !== height * scale) {
      canvas.width = width * scale;
      canvas.height = height * scale;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const bids = this.#sums("bids"), asks = this.#sums("asks");
    if (!bids.length || !asks.length) return setText(byId("depth-told"), t("depth_empty"));
    const middle = (bids[0].ticks + asks[0].ticks) / 2;
    // As far on both sides as the nearer end, so that the middle is in the middle.
    const reach = Math.max(1, Math.min(middle - bids.at(-1).ticks, asks.at(-1).ticks - middle));
    const shown = (levels) => levels.filter(({ ticks }) => Math.abs(ticks - middle) <= reach);
    const sides = { bids: shown(bids), asks: shown(asks) };
    const most = Math.max(sides.bids.at(-1)?.lots ?? 1, sides.asks.at(-1)?.lots ?? 1);
    const x = (ticks) => ((ticks - middle + reach) / (2 * reach)) * width;
    const y = (lots) =>
      height - PAD_BOTTOM - (lots / most) * (height - PAD_BOTTOM - PAD_TOP);
    const colours = getComputedStyle(canvas);
    this.#axis(pen, { middle, reach, most, x, y, width, height, colours });
    for (const side of ["bids", "asks"]) this.#side(pen, side, sides[side], x, y, width, height);
    this.#point(pen, sides, x, y, height, middle, colours);
    return undefined;
  }

  #colour(name) {
    return getComputedStyle(byId(name)).color;
  }

  #side(pen, side, levels, x, y, width, height) {
    if (!levels.length) return;
    const base = height - PAD_BOTTOM;
    pen.beginPath();
    pen.moveTo(x(levels[0].ticks), base);
    let last = base;
    for (const { ticks, lots } of levels) {
      pen.lineTo(x(ticks), last);
      last = y(lots);
      pen.lineTo(x(ticks), last);
    }
    pen.lineTo(side === "bids" ? 0 : width, last);
    pen.strokeStyle = pen.fillStyle = this.#colour(side === "bids" ? "best-bid" : "best-ask");
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineTo(side === "bids" ? 0 : width, base);
    pen.globalAlpha = 0.14;
    pen.fill();
    pen.globalAlpha = 1;
  }

  #axis(pen, { middle, reach, most, x, y, width, height, colours }) {
    pen.fillStyle = colours.color;
    pen.strokeStyle = colours.borderTopColor;
    pen.lineWidth = 1;
    pen.font = `11px ${colours.fontFamily}`;
    pen.textAlign = "center";
    const labels = width < 420 ? 3 : LABELS_MAX;
    for (let n = 0; n < labels; n += 1) {
      const ticks = Math.round(middle - reach + (2 * reach * (n + 0.5)) / labels);
      const at = Math.round(x(ticks)) + 0.5;
      pen.beginPath();
      pen.moveTo(at, PAD_TOP);
      pen.lineTo(at, height - PAD_BOTTOM);
      pen.stroke();
      pen.fillText(this.#price(ticks), at, height - 6);
    }
    pen.textAlign = "right";
    for (const share of [0.5, 1]) {
      const lots = Math.round(most * share);
      pen.fillText(decimal(BigInt(lots) * this.#terms.lotPips), width - 4, y(lots) - 4);
    }
  }

  #price(ticks) {
    return grouped(decimal(BigInt(ticks) * this.#terms.tickSize, 2));
  }

  // Say what may be had where the pointer is, or else at the ends; for ears as well as for eyes.
  #point(pen, sides, x, y, height, middle, colours) {
    const told = byId("depth-told");
    const amount = (lots) => decimal(BigInt(lots) * this.#terms.lotPips);
    const { symbol } = this.#terms.base;
    if (this.#pointer === null) {
      const [bid, ask] = [sides.bids.at(-1), sides.asks.at(-1)];
      if (!bid || !ask) return;
      setText(told, t("depth_ends", { bid: amount(bid.lots), low: this.#price(bid.ticks),
        ask: amount(ask.lots), high: this.#price(ask.ticks), symbol }));
      return;
    }
    const side = this.#pointer < x(middle) ? "bids" : "asks";
    const within = sides[side].filter(({ ticks }) =>
      (side === "bids" ? x(ticks) >= this.#pointer : x(ticks) <= this.#pointer));
    const at = within.at(-1);
    if (!at) return;
    pen.strokeStyle = colours.color;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(this.#pointer, PAD_TOP);
    pen.lineTo(this.#pointer, height - PAD_BOTTOM);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(this.#pointer, y(at.lots), 3.5, 0, 2 * Math.PI);
    pen.fillStyle = this.#colour(side === "bids" ? "best-bid" : "best-ask");
    pen.fill();
    setText(told, t(side === "bids" ? "depth_bid" : "depth_ask",
      { amount: amount(at.lots), price: this.#price(at.ticks), symbol }));
  }
}
