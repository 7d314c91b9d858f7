// What was traded, and how far is it on its way to the chain? Both tables are drawn from frames of
// the stream: nothing is asked for twice, and nothing is late.

import { grouped } from "./amounts.js";
import { byId, clock, element, emptyRow, row, setText } from "./elements.js";
import { t } from "./words.js";

const BATCHES = 8;

export function stateChip(state) {
  return element("span", { className: `state ${state}`, title: t(`state_${state}_long`) },
    t(`state_${state}`));
}

export class Tape {
  #shown;
  #link;
  #last = null;

  // `link` makes what a transaction's hash is shown as.
  constructor(shown, link) {
    this.#shown = shown;
    this.#link = link;
    this.onLast = () => {};
  }

  get last() {
    return this.#last;
  }

  take(frame) {
    const body = byId("trades");
    if (frame.type === "settlement") return this.#settle(frame);
    if (frame.type === "trade_busted") return this.#bust(frame);
    const fresh = frame.type === "trades";
    const rows = frame.trades.map((trade) => this.#row(trade, fresh));
    if (fresh) {
      body.querySelector(".empty")?.remove();
      body.prepend(...rows.reverse());
    } else {
      body.replaceChildren(...(rows.length ? rows : [emptyRow(5, t("no_trades"))]));
    }
    while (body.rows.length > this.#shown) body.deleteRow(-1);
    const newest = fresh ? frame.trades.at(-1) : frame.trades[0];
    if (newest) {
      this.#last = BigInt(newest.price_ticks);
      this.onLast(newest);
    }
    return undefined;
  }

  #row(trade, fresh) {
    const line = row(
      element("td", { title: `#${trade.trade_id}` }, clock(trade.time_ns)),
      element("td", { className: trade.side }, grouped(trade.price)),
      trade.quantity, "", "");
    line.dataset.trade = trade.trade_id;
    if (fresh) line.className = "fresh";
    this.#show(line, trade.settlement);
    return line;
  }

  #show(line, settlement) {
    line.cells[3].replaceChildren(stateChip(settlement.state));
    line.cells[4].replaceChildren();
    if (settlement.batch === null) return;
    line.cells[4].append(`#${settlement.batch} `, this.#link(settlement.tx_hash));
  }

  #settle(frame) {
    for (const line of byId("trades").querySelectorAll("tr[data-trade]")) {
      const id = Number(line.dataset.trade);
      if (frame.busted.includes(id)) continue;
      if (id >= frame.first_trade && id <= frame.last_trade) this.#show(line, frame);
    }
    if (frame.batch !== null) this.takeBatch(frame);
  }

  #bust(frame) {
    const line = byId("trades").querySelector(`tr[data-trade="${frame.trade_id}"]`);
    if (line) this.#show(line, { state: "busted", batch: null });
  }

  // The batches as the exchange has them, after a connection was made.
  takeBatches(batches) {
    const rows = batches.slice(0, BATCHES).map((batch) => this.#batchRow(batch));
    byId("batches").replaceChildren(...(rows.length ? rows : [emptyRow(4, t("no_batch"))]));
  }

  takeBatch(batch) {
    const body = byId("batches");
    const known = body.querySelector(`tr[data-batch="${batch.batch}"]`);
    const line = this.#batchRow(batch);
    if (known) known.replaceWith(line);
    else {
      body.querySelector(".empty")?.remove();
      const older = [...body.rows].find((each) => Number(each.dataset.batch) < batch.batch);
      body.insertBefore(line, older ?? null);
      while (body.rows.length > BATCHES) body.deleteRow(-1);
    }
  }

  #batchRow({ batch, first_trade: first, last_trade: last, state, tx_hash: hash }) {
    const span = last < first ? t("none") : first === last ? `#${first}` : `#${first}–${last}`;
    const line = row(String(batch), span, stateChip(state), this.#link(hash));
    line.dataset.batch = batch;
    return line;
  }
}

export function showFigures({ last, open_24h: open, high_24h: high, low_24h: low,
  volume_24h: volume }) {
  const figures = { last, high, low };
  for (const [name, text] of Object.entries(figures)) {
    setText(byId(name), text === null ? "–" : grouped(text));
  }
  setText(byId("volume"), grouped(volume));
  showChange(last, open);
}

// In hundredths of a per cent; a figure to look at, cut and not rounded.
function showChange(last, open) {
  const target = byId("change");
  if (last === null || open === null || !Number(open)) return setText(target, "–");
  const [now, then] = [last, open].map((text) => BigInt(text.replace(".", "")));
  const hundredths = ((now - then) * 10_000n) / then;
  const size = hundredths < 0n ? -hundredths : hundredths;
  const text = `${size / 100n}.${String(size % 100n).padStart(2, "0")}%`;
  target.className = hundredths < 0n ? "sell" : hundredths ? "buy" : "";
  return setText(target, (hundredths < 0n ? "−" : hundredths ? "+" : "") + text);
}
