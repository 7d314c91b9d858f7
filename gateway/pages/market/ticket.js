// What is about to be signed, and what will it cost? The ticket reads what was typed, says value,
// fee and what is received before anybody signs, and signs exactly that.

import { AmountError, decimal, feeOf, pipsOf, placesOf, pretty, stepsOf } from "./amounts.js";
import { byId, eachFrame, element, setText } from "./elements.js";
import { KINDS, checkTrigger, kindsFor, orderMessage, walk, worstTicks } from "./order_terms.js";
import { errorWords, t } from "./words.js";

const LANE_MIN = 0x8000, LANE_COUNT = 0x8000, LANES_TRIED = 8;
const IMMEDIATE_SECONDS = 60, DAY_SECONDS = 86_400;
const SLIPPAGES = ["10", "50", "100", "300"];

// Where a resting order may stand: a random free half of a lane.
async function freePlace(api, account) {
  const lanes = Array.from({ length: LANES_TRIED },
    () => LANE_MIN + Math.floor(Math.random() * LANE_COUNT));
  const query = lanes.map((lane) => `lane=${lane}`).join("&");
  const nonces = await api.get(`/v1/nonces/${account}?${query}`);
  const free = nonces.lanes.find((half) => half.order_id === null);
  if (!free) throw new Error(t("no_lane"));
  return { nonce: free.nonce, lane: free.lane, upperHalf: free.upper_half };
}

export class Ticket extends EventTarget {
  #config;
  #terms;
  #book;
  #tape;
  #api;
  #funds;
  #wallets;
  #form = byId("form");

  constructor({ config, terms, book, tape, api, funds, wallets }) {
    super();
    this.#config = config;
    this.#terms = terms;
    this.#book = book;
    this.#tape = tape;
    this.#api = api;
    this.#funds = funds;
    this.#wallets = wallets;
    this.drawSoon = eachFrame(() => this.draw());
    this.#fill();
    this.#listen();
  }

  #fill() {
    const kinds = kindsFor(this.#config.types.Order);
    byId("kind").replaceChildren(...kinds.map((kind) =>
      element("option", { value: kind }, t(`kind_${kind}`))));
    byId("slippage").replaceChildren(...SLIPPAGES.map((basis) =>
      element("option", { value: basis, selected: basis === "50" },
        `${decimal(BigInt(basis) * 10n ** 6n)} %`)));
    this.#form.hidden = false;
    this.#showFields();
  }

  #listen() {
    const form = this.#form;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.dispatchEvent(new Event("submitted"));
    });
    form.addEventListener("input", (event) => {
      if (event.target.id === "share") this.#takeShare();
      this.draw();
    });
    form.addEventListener("change", (event) => {
      this.#showFields();
      if (event.target.inputMode === "decimal") this.#tidy(event.target);
      this.draw();
    });
  }

  get side() {
    return this.#form.elements.side.value;
  }

  get kind() {
    return byId("kind").value;
  }

  choose(side, { ticks = null, lots = null } = {}) {
    this.#form.elements.side.value = side;
    if (ticks !== null) {
      if (!KINDS[this.kind].fields.includes("price")) byId("kind").value = "limit";
      byId("price").value = this.#price(ticks);
      const most = this.#most(ticks);
      if (!byId("quantity").value && lots !== null && most !== null) {
        byId("quantity").value = decimal((lots < most ? lots : most) * this.#terms.lotPips);
      }
    }
    this.#showFields();
    this.draw();
  }

  // A price to begin with, when the first book or trade comes; never over what somebody typed.
  suggest(ticks) {
    const field = byId("price");
    if (!field.value && !field.dataset.touched) field.value = this.#price(ticks);
    field.dataset.touched = "1";
    this.drawSoon();
  }

  #price(ticks) {
    const { tickSize } = this.#terms;
    return pretty(ticks * tickSize, Math.min(2, placesOf(tickSize)));
  }

  #showFields() {
    const { fields } = KINDS[this.kind];
    for (const field of ["price", "trigger", "slippage"]) {
      byId(`${field}-field`).hidden = !fields.includes(field);
    }
    byId("lifetime-field").hidden = !KINDS[this.kind].rests;
    setText(byId("kind-told"), t(`kind_${this.kind}_long`));
    this.#form.dataset.side = this.side;
  }

  // Rewrite what was typed as it was understood, so that nobody has to guess.
  #tidy(field) {
    try {
      if (field.value) field.value = pretty(pipsOf(field.value));
    } catch (error) {
      if (!(error instanceof AmountError)) throw error;
    }
  }

  // What `side` may use now, in pips; null while nobody is logged in.
  #available() {
    const token = this.side === "buy" ? this.#terms.quote : this.#terms.base;
    return this.#funds.available(token.symbol);
  }

  #most(ticks) {
    const available = this.#available();
    if (available === null) return null;
    return this.side === "buy"
      ? this.#terms.lotsFor(available, ticks) : available / this.#terms.lotPips;
  }

  #takeShare() {
    try {
      const most = this.#most(this.#limit().ticks);
      if (most === null) return;
      const lots = (most * BigInt(byId("share").value)) / 100n;
      byId("quantity").value = lots ? pretty(lots * this.#terms.lotPips) : "";
    } catch (error) {
      if (!(error instanceof AmountError)) throw error;
    }
  }

  // Return the limit that is signed, in ticks, and for a stop the trigger.
  #limit() {
    const { fields } = KINDS[this.kind];
    let trigger = null;
    if (fields.includes("trigger")) {
      trigger = this.#steps("trigger", this.#terms.tickSize, "off_tick");
      checkTrigger(this.side, trigger, this.#tape.last);
    }
    if (fields.includes("price")) {
      return { ticks: this.#steps("price", this.#terms.tickSize, "off_tick"), trigger };
    }
    if (trigger === null && this.#book.isStale) throw new AmountError("book_stale");
    const best = trigger ?? this.#book.opposite(this.side)[0]?.[0];
    if (best === undefined) throw new AmountError("nothing_to_take");
    return { ticks: worstTicks(this.side, best, BigInt(byId("slippage").value)), trigger };
  }

  #steps(field, step, word) {
    try {
      return stepsOf(pipsOf(byId(field).value), step, word);
    } catch (error) {
      if (error instanceof AmountError) error.field = field;
      throw error;
    }
  }

  // Return all that the order will be, or throw an AmountError that names the field.
  order() {
    const terms = this.#terms, { side, kind } = this;
    const { ticks, trigger } = this.#limit();
    const lots = this.#steps("quantity", terms.lotPips, "off_lot");
    const quote = terms.quotePips(lots, ticks), fee = feeOf(quote, terms.worstPpm);
    const order = { side, kind, lots, ticks, trigger, quote, fee };
    if (quote < terms.leastNotional) {
      throw Object.assign(new AmountError("too_small",
        { least: pretty(terms.leastNotional), symbol: terms.quote.symbol }), { field: "quantity" });
    }
    const available = this.#available();
    const needed = side === "buy" ? quote + fee : lots * terms.lotPips;
    if (available !== null && needed > available) {
      const { symbol } = side === "buy" ? terms.quote : terms.base;
      throw Object.assign(new AmountError("not_enough", { symbol, needed: pretty(needed, 2),
        available: pretty(available, 2) }), { field: "quantity", order });
    }
    return order;
  }

  draw() {
    for (const field of ["price", "trigger", "quantity"]) {
      byId(field).removeAttribute("aria-invalid");
      setText(byId(`${field}-hint`), "");
    }
    this.#drawFunds();
    let order = null;
    try {
      order = this.order();
    } catch (error) {
      if (!(error instanceof AmountError)) throw error;
      order = error.order ?? null;
      this.#hint(error);
    }
    this.#drawSums(order);
    this.#drawButton();
  }

  // A field that is still empty is no mistake.
  #hint(error) {
    const { field } = error;
    if (!field || !byId(field).value) return;
    byId(field).setAttribute("aria-invalid", "true");
    setText(byId(`${field}-hint`), errorWords(error));
  }

  #drawFunds() {
    const available = this.#available();
    const { symbol } = this.side === "buy" ? this.#terms.quote : this.#terms.base;
    setText(byId("available"), available === null ? "–" : `${pretty(available, 2)} ${symbol}`);
    byId("share").disabled = available === null || available === 0n;
    if (available !== null && document.activeElement !== byId("share")) this.#drawShare(available);
  }

  #drawShare() {
    try {
      const most = this.#most(this.#limit().ticks);
      const lots = this.#steps("quantity", this.#terms.lotPips, "off_lot");
      byId("share").value = most ? String((lots * 100n) / most) : "0";
    } catch (error) {
      if (!(error instanceof AmountError)) throw error;
      byId("share").value = "0";
    }
    setText(byId("share-told"), `${byId("share").value} %`);
  }

  #drawSums(order) {
    const { base, quote, lotPips } = this.#terms;
    const money = (pips) => `${pretty(pips, 2)} ${quote.symbol}`;
    const isBuy = this.side === "buy";
    setText(byId("sum-value"), order ? money(order.quote) : "–");
    setText(byId("sum-fee"), order ? money(order.fee) : "–");
    setText(byId("sum-end-name"), t(isBuy ? "you_pay_most" : "you_receive_least"));
    setText(byId("sum-end"),
      order ? money(isBuy ? order.quote + order.fee : order.quote - order.fee) : "–");
    setText(byId("sum-get-name"), t(isBuy ? "you_receive" : "you_pay"));
    setText(byId("sum-get"), order ? `${pretty(order.lots * lotPips)} ${base.symbol}` : "–");
    const signed = !KINDS[this.kind].fields.includes("price");
    byId("sum-worst-row").hidden = !signed;
    if (signed) setText(byId("sum-worst"), this.#worst(order));
  }

  // For an order without a price: the limit that is signed, and what the book says of it now.
  #worst(order) {
    if (!order) return "–";
    const price = `${this.#price(order.ticks)} ${this.#terms.quote.symbol}`;
    if (order.trigger !== null) return price;
    const isWithin = (ticks) =>
      (order.side === "buy" ? ticks <= order.ticks : ticks >= order.ticks);
    const met = walk(this.#book.opposite(order.side), order.lots, isWithin);
    if (met.lots === order.lots) return price;
    return t("fills_only", { price, quantity: pretty(met.lots * this.#terms.lotPips) });
  }

  #drawButton() {
    const button = byId("sign"), { symbol } = this.#terms.base;
    const { account, isOnChain } = this.#wallets;
    const ready = isOnChain ? `do_${this.side}` : "switch_chain";
    setText(button, t(account === null ? "connect_wallet" : ready, { symbol }));
    button.className = account !== null && isOnChain ? `act ${this.side}` : "act";
  }

  // Sign what the ticket says and place it; return what became of it, in words.
  async place() {
    const order = this.order();
    const { account } = this.#wallets;
    const [config, place] = await Promise.all(
      [this.#api.get("/v1/config"), this.#place(order), this.#sameTerms()]);
    const now = Number(BigInt(config.time_ns) / 10n ** 9n);
    const message = orderMessage(this.#terms, config.types.Order, {
      ...order, account, place, expiry: now + this.#lifetime(order),
    });
    const signature = await this.#wallets.sign("Order", message);
    const placed = await this.#api.post("/v1/orders", { ...message, signature });
    byId("quantity").value = "";
    this.draw();
    return this.#became(order, placed);
  }

  // What is shown was counted in these lots, ticks and fees; under others it is not what is signed.
  async #sameTerms() {
    const terms = this.#terms, { markets } = await this.#api.get("/v1/markets");
    const row = markets.find(({ symbol }) => symbol === terms.symbol);
    if (!row || terms.areOf(row, pipsOf)) return;
    terms.take(row, pipsOf);
    byId("price").value = "";
    this.draw();
    throw new AmountError("terms_changed");
  }

  #lifetime({ kind }) {
    return KINDS[kind].rests ? Number(byId("lifetime").value) * DAY_SECONDS : IMMEDIATE_SECONDS;
  }

  async #place({ kind }) {
    const { account } = this.#wallets;
    if (KINDS[kind].rests) return freePlace(this.#api, account);
    const { single_shot: nonce } = await this.#api.get(`/v1/nonces/${account}`);
    if (nonce === null) throw new Error(t("no_lane"));
    return { nonce, lane: 0, upperHalf: false };
  }

  #became(order, placed) {
    const terms = this.#terms, fills = placed.fills ?? [];
    const lots = fills.reduce((sum, fill) => sum + BigInt(fill.lots), 0n);
    const quote = fills.reduce((sum, { lots: n, price_ticks: ticks }) =>
      sum + terms.quotePips(BigInt(n), BigInt(ticks)), 0n);
    const figures = {
      filled: `${pretty(lots * terms.lotPips)} ${terms.base.symbol}`,
      money: `${pretty(quote, 2)} ${terms.quote.symbol}`,
      rest: `${pretty(BigInt(placed.resting_lots ?? 0) * terms.lotPips)} ${terms.base.symbol}`,
    };
    if (placed.resting_lots) return t(lots ? "part_rests" : "rests", figures);
    if (placed.ended === "FILLED") return t("filled", figures);
    if (!placed.ended) return t(order.trigger === null ? "taken" : "armed", figures);
    const why = t(`ended_${placed.ended}`, {}, placed.ended);
    return t(lots ? "part_left" : "nothing_left", { ...figures, why });
  }
}
