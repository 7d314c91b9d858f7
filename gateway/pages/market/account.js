// What does the account have, and what is it doing here? Open orders to cancel, how others ended,
// fills down to their transaction, balances; each from a snapshot and then from frames.

import { decimal, grouped, pipsOf, pretty } from "./amounts.js";
import { byId, dayAndClock, eachFrame, element, emptyRow, row, setText } from "./elements.js";
import { stateChip } from "./tape.js";
import { errorWords, t } from "./words.js";

const FILLS_SHOWN = 100, ENDED_SHOWN = 100, ENDED_PAGES = 6;
const ENDS = new Set(["cancelled", "unfilled", "filled", "ended"]);
export const TABS = ["orders", "history", "fills", "balances"];

export class Account extends EventTarget {
  #api;
  #stream;
  #session;
  #link;
  #open = new Map();
  #ended = new Map();
  #fills = [];
  #balances = new Map();
  #isWhole = false;

  constructor({ api, stream, session, link }) {
    super();
    this.#api = api;
    this.#stream = stream;
    this.#session = session;
    this.#link = link;
    this.drawSoon = eachFrame(() => this.#draw());
    session.addEventListener("change", () => this.#changed());
    this.#tabs();
    byId("cancel-all").addEventListener("click", () => this.#cancelAll());
    byId("open-orders").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-order]");
      if (button) this.#cancel(button);
    });
    this.#draw();
  }

  // Pips that may be used now; null while nobody is logged in or nothing is known yet.
  available(symbol) {
    if (!this.#session.isOpen || !this.#balances.size) return null;
    return this.#balances.get(symbol)?.available ?? 0n;
  }

  get balances() {
    return [...this.#balances.values()];
  }

  #changed() {
    this.#open.clear();
    this.#ended.clear();
    this.#fills = [];
    this.#balances.clear();
    this.#isWhole = false;
    if (this.#session.isOpen) {
      this.#stream.follow("orders", (frame) => this.#takeOrders(frame));
      this.#stream.follow("balances", (frame) => this.#takeBalances(frame));
    }
    this.drawSoon();
    this.dispatchEvent(new Event("change"));
  }

  #takeBalances(frame) {
    if (frame.type === "ended") return this.#session.forget();
    if (frame.type === "snapshot") this.#balances.clear();
    for (const one of frame.balances ?? []) {
      this.#balances.set(one.symbol, { ...one, available: BigInt(one.available_pips),
        held: BigInt(one.held_pips) });
    }
    this.drawSoon();
    this.dispatchEvent(new Event("change"));
    return undefined;
  }

  #takeOrders(frame) {
    switch (frame.type) {
      case "snapshot":
        this.#open = new Map(frame.orders.map((order) => [order.order_id, order]));
        this.#fills = frame.fills.slice(0, FILLS_SHOWN);
        if (frame.next !== null) this.#readOpen(frame.next);
        // After a gap too: what ended meanwhile no frame has told.
        this.#readEnded();
        break;
      case "fill":
        this.#fills = [frame.fill, ...this.#fills].slice(0, FILLS_SHOWN);
        this.#fill(frame.fill);
        break;
      case "settlement": this.#settle(new Set(frame.trades), frame); break;
      case "trade_busted":
        this.#settle(new Set([frame.trade_id]), { state: "busted", batch: null, tx_hash: null });
        break;
      case "ended": return this.#session.forget();
      default: if (frame.order) this.#takeOrder(frame);
    }
    this.drawSoon();
    return undefined;
  }

  #takeOrder({ type, order }) {
    const { order_id: id } = order;
    if (order.ended !== null || ENDS.has(type) || order.lots_open === 0) {
      this.#open.delete(id);
      this.#ended.delete(id);
      this.#ended.set(id, order);
      if (this.#ended.size > ENDED_SHOWN) this.#ended.delete(this.#ended.keys().next().value);
    } else {
      this.#open.set(id, order);
    }
  }

  // No frame but its last fill says that an order was filled.
  #fill({ order_id: id, lots_left: left, time_ns: time }) {
    const order = this.#open.get(id);
    if (!order) return;
    const open = decimal((pipsOf(order.quantity) * BigInt(left)) / BigInt(order.lots));
    const now = { ...order, lots_open: left, open };
    const last = { ...now, ended: "FILLED", ended_ns: time };
    this.#takeOrder({ type: "fill", order: left ? now : last });
  }

  #settle(trades, { state, batch, tx_hash: hash }) {
    this.#fills = this.#fills.map((fill) => (trades.has(fill.trade_id)
      ? { ...fill, settlement: { state, batch, tx_hash: hash } } : fill));
  }

  // More open orders than a snapshot has; as many as an account may have, page by page.
  async #readOpen(after) {
    const { account } = this.#session;
    let next = after;
    try {
      while (next !== null && account === this.#session.account) {
        const page = await this.#api.get(`/v1/orders?after=${next}`);
        for (const order of page.orders) this.#open.set(order.order_id, order);
        next = page.next;
      }
    } catch (error) {
      this.#tell(errorWords(error), "bad");
    }
    this.drawSoon();
  }

  async #readEnded() {
    const { account } = this.#session;
    let next = 0;
    try {
      for (let n = 0; n < ENDED_PAGES && next !== null; n += 1) {
        const page = await this.#api.get(`/v1/orders/ended?after=${next}`);
        if (account !== this.#session.account) return;
        // What the stream has told meanwhile is newer and stays behind.
        const newer = [...this.#ended];
        this.#ended = new Map(page.orders.map((order) => [order.order_id, order]));
        for (const [id, order] of newer) this.#ended.set(id, order);
        next = page.next;
      }
    } catch (error) {
      if (error.status === 401) return this.#session.forget();
      this.#tell(errorWords(error), "bad");
    }
    this.#isWhole = true;
    return this.drawSoon();
  }

  async #cancel(button) {
    button.disabled = true;
    try {
      await this.#api.remove(`/v1/orders/${button.dataset.order}`);
      this.#tell(t("cancelled"), "good");
    } catch (error) {
      this.#tell(errorWords(error), "bad");
      button.disabled = false;
    }
  }

  // One request cancels so many; what is left takes another.
  async #cancelAll() {
    const button = byId("cancel-all");
    button.disabled = true;
    let done = 0, left = 1;
    try {
      while (left) {
        const answer = await this.#api.remove("/v1/orders");
        done += answer.cancelled;
        left = answer.cancelled ? answer.left : 0;
      }
      this.#tell(t("cancelled_all", { count: done }), "good");
    } catch (error) {
      this.#tell(errorWords(error), "bad");
    } finally {
      button.disabled = false;
      this.drawSoon();
    }
  }

  #tell(text, kind) {
    const told = byId("account-told");
    setText(told, text);
    told.className = kind;
  }

  #tabs() {
    const tabs = TABS.map((name) => byId(`tab-${name}`));
    const show = (chosen) => {
      for (const tab of tabs) {
        const isChosen = tab === chosen;
        tab.setAttribute("aria-selected", String(isChosen));
        tab.tabIndex = isChosen ? 0 : -1;
        byId(tab.getAttribute("aria-controls")).hidden = !isChosen;
      }
    };
    tabs.forEach((tab, n) => {
      tab.addEventListener("click", () => show(tab));
      tab.addEventListener("keydown", ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (!step) return;
        const next = tabs[(n + step + tabs.length) % tabs.length];
        show(next);
        next.focus();
      });
    });
    show(tabs[0]);
  }

  #draw() {
    byId("account-closed").hidden = this.#session.isOpen;
    byId("account-open").hidden = !this.#session.isOpen;
    setText(byId("open-count"), this.#open.size ? String(this.#open.size) : "");
    byId("cancel-all").hidden = !this.#open.size;
    const newest = [...this.#open.values()].reverse();
    this.#table("open-orders", 6, newest.map((order) => this.#openRow(order)), "no_orders");
    const ended = [...this.#ended.values()].reverse().slice(0, ENDED_SHOWN);
    this.#table("ended-orders", 5, ended.map((order) => this.#endedRow(order)),
      this.#isWhole ? "no_history" : "reading");
    this.#table("own-fills", 7, this.#fills.map((fill) => this.#fillRow(fill)), "no_fills");
    const balances = this.balances.map((one) => this.#balanceRow(one));
    this.#table("own-balances", 4, balances, "no_balances");
  }

  #table(id, columns, rows, none) {
    byId(id).replaceChildren(...(rows.length ? rows : [emptyRow(columns, t(none))]));
  }

  #what({ side, market }) {
    return element("td", {}, element("span", { className: "market" },
      element("span", { className: side }, t(`side_${side}`)), market));
  }

  #openRow(order) {
    const what = `${t(`side_${order.side}`)} ${order.quantity} ${order.price}`;
    const button = element("button", { type: "button", className: "small",
      "aria-label": t("cancel_this", { what }), dataset: { order: order.order_id } }, t("cancel"));
    return row(dayAndClock(order.time_ns), this.#what(order),
      grouped(order.price), order.open, order.quantity, element("td", {}, button));
  }

  #endedRow(order) {
    return row(dayAndClock(order.ended_ns ?? order.time_ns), this.#what(order),
      grouped(order.price), order.quantity,
      t(`ended_${order.ended}`, {}, order.ended ?? ""));
  }

  #fillRow(fill) {
    const chain = element("td", {});
    if (fill.settlement.batch !== null) {
      chain.append(`#${fill.settlement.batch} `, this.#link(fill.settlement.tx_hash));
    }
    return row(dayAndClock(fill.time_ns), this.#what(fill), grouped(fill.price), fill.quantity,
      pretty(BigInt(fill.fee_pips)), element("td", {}, stateChip(fill.settlement.state)), chain);
  }

  #balanceRow({ symbol, available, held }) {
    return row(symbol, pretty(available, 2), pretty(held, 2), pretty(available + held, 2));
  }
}
