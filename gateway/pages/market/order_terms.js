// Which kinds of order are there, and what does a wallet sign for each of them?
//
// The flags are those of docs/PROTOCOL.md. A kind that `needs` more than this exchange's type
// string says is not offered: the page works with an older and a newer server.

import { AmountError, PPM, feeOf } from "./amounts.js";

export const FLAG = {
  SELL: 1, SINGLE_SHOT: 2, UPPER_HALF: 4, POST_ONLY: 8, FILL_OR_KILL: 16, STOP: 64,
  IMMEDIATE: 1024,
};
const WIDE_FLAGS = "triggerOrDisplay";

// `fields` are what the ticket asks for besides the quantity; `rests`: it takes a place of a lane.
export const KINDS = {
  limit: { flags: 0, rests: true, fields: ["price"] },
  market: { flags: FLAG.SINGLE_SHOT, rests: false, fields: ["slippage"] },
  post: { flags: FLAG.POST_ONLY, rests: true, fields: ["price"] },
  ioc: { flags: FLAG.SINGLE_SHOT, rests: false, fields: ["price"] },
  fok: { flags: FLAG.SINGLE_SHOT | FLAG.FILL_OR_KILL, rests: false, fields: ["price"],
    needs: WIDE_FLAGS },
  stop_limit: { flags: FLAG.STOP, rests: true, fields: ["trigger", "price"], needs: WIDE_FLAGS },
  stop_market: { flags: FLAG.STOP | FLAG.IMMEDIATE, rests: true, fields: ["trigger", "slippage"],
    needs: WIDE_FLAGS },
};

export function kindsFor(orderType) {
  return Object.keys(KINDS).filter((kind) => {
    const { needs } = KINDS[kind];
    return !needs || orderType.includes(needs);
  });
}

// A market as /v1/markets tells it, in integers.
export class Terms {
  constructor(row, pipsOf) {
    this.take(row, pipsOf);
  }

  // An operator may change them at any time; all who hold these terms have the new ones then.
  take(row, pipsOf) {
    this.symbol = row.symbol;
    this.base = row.base;
    this.quote = row.quote;
    this.lotPips = BigInt(row.lot_pips);
    this.tickPips = BigInt(row.tick_pips);
    this.tickSize = pipsOf(row.tick_size);
    this.leastNotional = pipsOf(row.least_notional);
    this.makerPpm = BigInt(row.maker_fee_ppm);
    this.takerPpm = BigInt(row.taker_fee_ppm);
  }

  // Whether a row says what these terms say: what was typed and shown under others is void.
  areOf(row, pipsOf) {
    return String(this.lotPips) === row.lot_pips && String(this.tickPips) === row.tick_pips
      && this.makerPpm === BigInt(row.maker_fee_ppm) && this.takerPpm === BigInt(row.taker_fee_ppm)
      && this.leastNotional === pipsOf(row.least_notional);
  }

  get worstPpm() {
    const worst = this.makerPpm > this.takerPpm ? this.makerPpm : this.takerPpm;
    return worst > 0n ? worst : 0n;
  }

  quotePips(lots, ticks) {
    return lots * ticks * this.tickPips;
  }

  // The most lots that an amount of quote buys at a price, the worst fee included.
  lotsFor(quotePips, ticks) {
    const lot = ticks * this.tickPips;
    if (lot <= 0n) return 0n;
    let lots = (quotePips * PPM) / (lot * (PPM + this.worstPpm));
    // Fees are rounded down, so a lot more may fit than the division says.
    while (this.cost(lots + 1n, ticks) <= quotePips) lots += 1n;
    return lots;
  }

  cost(lots, ticks) {
    const quote = this.quotePips(lots, ticks);
    return quote + feeOf(quote, this.worstPpm);
  }
}

const BASIS = 10_000n;

// The worst price that a market order signs: `basisPoints` beyond `ticks`, never across zero.
export function worstTicks(side, ticks, basisPoints) {
  if (side === "buy") return (ticks * (BASIS + basisPoints)) / BASIS;
  const worst = (ticks * (BASIS - basisPoints) + BASIS - 1n) / BASIS;
  return worst > 0n ? worst : 1n;
}

// Walk one side of the book, [ticks, lots] with the best first, up to a limit.
export function walk(levels, lots, isWithin) {
  let left = lots, quoteTicks = 0n, last = null;
  for (const [ticks, there] of levels) {
    if (left === 0n || !isWithin(ticks)) break;
    const taken = there < left ? there : left;
    quoteTicks += taken * ticks;
    left -= taken;
    last = ticks;
  }
  return { lots: lots - left, quoteTicks, last };
}

// A stop sells below and buys above the market; elsewhere it would trigger as it comes in.
export function checkTrigger(side, trigger, last) {
  if (last === null) return;
  if (side === "buy" ? trigger <= last : trigger >= last) {
    throw new AmountError(side === "buy" ? "trigger_above" : "trigger_below");
  }
}

export function typedFields(text) {
  return text.slice(text.indexOf("(") + 1, -1).split(",").map((field) => {
    const [type, name] = field.split(" ");
    return { name, type };
  });
}

export function typedData(config, primaryType, message) {
  return {
    domain: config.domain,
    primaryType,
    types: {
      EIP712Domain: typedFields(config.types.EIP712Domain),
      [primaryType]: typedFields(config.types[primaryType]),
    },
    message,
  };
}

// The message of an order; `place` is where it stands: nonce, lane and half.
export function orderMessage(terms, orderType, { account, side, kind, lots, ticks, trigger, place,
  expiry }) {
  const message = {
    account: account.toLowerCase(),
    nonce: place.nonce,
    flags: KINDS[kind].flags | (side === "sell" ? FLAG.SELL : 0)
      | (place.upperHalf ? FLAG.UPPER_HALF : 0),
    lane: place.lane,
    base: terms.base.address,
    quote: terms.quote.address,
    baseAmount: String(lots * terms.lotPips),
    quoteAmount: String(terms.quotePips(lots, ticks)),
    expiry,
    maxFeePpm: Number(terms.worstPpm),
    ref: `0x${"0".repeat(64)}`,
  };
  if (orderType.includes(WIDE_FLAGS)) {
    message.triggerOrDisplay = String(trigger === null ? 0n : terms.quotePips(lots, trigger));
  }
  return message;
}
