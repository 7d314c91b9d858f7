// Does the page understand amounts as people type them, and sign what it shows? Whole numbers only.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AmountError, decimal, feeOf, grouped, pipsOf, pipsOfRaw, placesOf, pretty, rawOf, stepsOf }
  from "./market/amounts.js";
import { Book } from "./market/book_levels.js";
import { FLAG, KINDS, Terms, checkTrigger, kindsFor, orderMessage, typedData, walk, worstTicks }
  from "./market/order_terms.js";
import { calldata } from "./market/calldata.js";
import { errorWords, languageOf, t } from "./market/words.js";
import { EN } from "./market/words_en.js";
import { ZH } from "./market/words_zh.js";

const wordOf = (work) => {
  try {
    work();
  } catch (error) {
    assert(error instanceof AmountError, String(error));
    return error.word;
  }
  return assert.fail("nothing was refused");
};

test("amounts are read as people type them", () => {
  const read = {
    "1": 1, "1.5": "1.5", "1,5": "1.5", "0,1": "0.1", "0.1": "0.1", ".5": "0.5", "5.": 5,
    "1,000.5": "1000.5", "1.000,5": "1000.5", "1 000": 1000, "1 000,5": "1000.5",
    "1\u00a0000\u202f000.25": "1000000.25", "1'000": 1000, "1,000,000": 1000000,
    "1.000.000": 1000000, "1.000": 1, "849.900": "849.9", "0,100": "0.1", "1000,500": "1000.5",
    "  7 ": 7, "１２．５": "12.5", "1，5": "1.5", "0.00000001": "0.00000001",
    "92233720368.54775807": "92233720368.54775807", "12,3456": "12.3456",
  };
  for (const [typed, meant] of Object.entries(read)) {
    assert.equal(decimal(pipsOf(typed)), String(meant), typed);
  }
});

test("what can be read in two ways, or in none, is refused with a word", () => {
  const refused = {
    "": "amount_empty", "  ": "amount_empty", "-1": "amount_sign", "+1": "amount_sign",
    "−1": "amount_sign", "1e3": "amount_strange", "0x10": "amount_strange", "abc": "amount_strange",
    ".": "amount_strange", ",": "amount_strange", "1,000": "amount_ambiguous",
    "12,345": "amount_ambiguous", "1.000000001": "amount_long", "99999999999": "amount_large",
    "92233720368.54775808": "amount_large", "1 00": "amount_groups", "12,34,567": "amount_groups",
    "1,000,00": "amount_groups", "1.0.0": "amount_groups", "1,000.5,0": "amount_groups",
    "1.5.000,2": "amount_groups", "0 100": "amount_groups", "1 000 .5.": "amount_groups",
    "1.000,5.2": "amount_groups", "１２元": "amount_strange", "NaN": "amount_strange",
    "Infinity": "amount_strange", "1 2": "amount_groups",
  };
  for (const [typed, word] of Object.entries(refused)) {
    const found = wordOf(() => pipsOf(typed));
    const strange = ["amount_strange", "amount_groups"];
    if (strange.includes(word)) assert(strange.includes(found), `${typed}: ${found}`);
    else assert.equal(found, word, typed);
  }
  try {
    pipsOf("1,234");
  } catch (error) {
    assert.match(errorWords(error), /could be 1234 or 1\.234/);
  }
});

test("what is shown is read again as the same amount", () => {
  for (const pips of [1n, 10n ** 8n, 123_456_789_012n, 9_223_372_036_854_775_807n, 100_000n]) {
    for (const least of [0, 2]) {
      assert.equal(pipsOf(pretty(pips, least)), pips);
      assert.equal(pipsOf(decimal(pips, least)), pips);
    }
  }
  assert.equal(grouped("1234567.1234"), "1\u202f234\u202f567.1234");
  assert.equal(decimal(-150_000_000n), "-1.5");
  assert.equal(placesOf(1_000_000n), 2);
  assert.equal(placesOf(10n ** 8n), 0);
});

test("steps, raw units and fees are whole numbers", () => {
  assert.equal(stepsOf(15_000n, 5_000n, "off_lot"), 3n);
  assert.equal(wordOf(() => stepsOf(15_001n, 5_000n, "off_lot")), "off_lot");
  assert.equal(wordOf(() => stepsOf(0n, 5_000n, "off_lot")), "amount_zero");
  assert.equal(rawOf(100_000_000n, 18), 10n ** 18n);
  assert.equal(rawOf(100n, 6), 1n);
  assert.equal(wordOf(() => rawOf(101n, 6)), "amount_decimals");
  assert.equal(pipsOfRaw(1_999_999n, 6), 199_999_900n);
  assert.equal(feeOf(999_999n, 1_000n), 999n);
});

const ROW = {
  symbol: "TOKEN-USD", lot_pips: "10000", tick_pips: "100", tick_size: "0.01",
  least_notional: "1", maker_fee_ppm: 200, taker_fee_ppm: 1000,
  base: { address: "0xba5e", symbol: "TOKEN" }, quote: { address: "0x0007e", symbol: "USD" },
};
const terms = new Terms(ROW, pipsOf);
const NARROW = "Order(address account,uint8 flags)";
const WIDE = "Order(address account,uint16 flags,uint64 triggerOrDisplay)";

test("the most that money buys is the most, and no more", () => {
  for (const money of [1n, 99_999n, 25_000n * 10n ** 8n, 1_234_567_891n]) {
    for (const ticks of [1n, 7n, 250_005n]) {
      const lots = terms.lotsFor(money, ticks);
      assert(terms.cost(lots, ticks) <= money);
      assert(terms.cost(lots + 1n, ticks) > money);
    }
  }
});

test("the worst price of a market order lies on the right side of the best", () => {
  assert.equal(worstTicks("buy", 250_000n, 50n), 251_250n);
  assert.equal(worstTicks("sell", 250_000n, 50n), 248_750n);
  assert.equal(worstTicks("sell", 3n, 50n), 3n);
  assert.equal(worstTicks("buy", 3n, 50n), 3n);
  assert.equal(worstTicks("sell", 1n, 10_000n), 1n);
});

test("a walk through the book takes the best first and stops at the limit", () => {
  const levels = [[100n, 5n], [101n, 5n], [110n, 50n]];
  assert.deepEqual(walk(levels, 7n, (ticks) => ticks <= 101n),
    { lots: 7n, quoteTicks: 702n, last: 101n });
  assert.deepEqual(walk(levels, 70n, (ticks) => ticks <= 101n),
    { lots: 10n, quoteTicks: 1_005n, last: 101n });
  assert.deepEqual(walk([], 70n, () => true), { lots: 0n, quoteTicks: 0n, last: null });
});

test("a kind is offered where the exchange's type string has what it needs", () => {
  assert.deepEqual(kindsFor(NARROW), ["limit", "market", "post", "ioc"]);
  assert.deepEqual(kindsFor(WIDE), Object.keys(KINDS));
});

test("flags are those of the protocol", () => {
  const asked = { account: "0xAB", lots: 3n, ticks: 250_000n, trigger: null, expiry: 9,
    place: { nonce: "5", lane: 40_000, upperHalf: true } };
  const flags = (kind, side, trigger = null) =>
    orderMessage(terms, WIDE, { ...asked, kind, side, trigger }).flags;
  assert.equal(flags("limit", "buy"), FLAG.UPPER_HALF);
  assert.equal(flags("limit", "sell"), FLAG.UPPER_HALF | 1);
  assert.equal(flags("post", "buy"), FLAG.UPPER_HALF | 8);
  assert.equal(flags("stop_market", "sell", 2n), FLAG.UPPER_HALF | 1 | 64 | 1024);
  asked.place = { nonce: "5", lane: 0, upperHalf: false };
  assert.equal(flags("market", "buy"), 2);
  assert.equal(flags("fok", "sell"), 1 | 2 | 16);
});

test("a message has the amounts that were shown, and a trigger only where it is known", () => {
  const asked = { account: "0xAB", side: "buy", kind: "stop_limit", lots: 3n, ticks: 250_000n,
    trigger: 251_000n, expiry: 9, place: { nonce: "5", lane: 40_000, upperHalf: false } };
  const wide = orderMessage(terms, WIDE, asked), narrow = orderMessage(terms, NARROW, asked);
  assert.equal(wide.baseAmount, "30000");
  assert.equal(wide.quoteAmount, "75000000");
  assert.equal(wide.triggerOrDisplay, "75300000");
  assert.equal(wide.maxFeePpm, 1000);
  assert(!("triggerOrDisplay" in narrow));
  assert.equal(orderMessage(terms, WIDE, { ...asked, trigger: null }).triggerOrDisplay, "0");
  const config = { domain: {}, types: { EIP712Domain: "EIP712Domain(string name)", Order: WIDE } };
  assert.deepEqual(typedData(config, "Order", wide).types.Order.at(-1),
    { type: "uint64", name: "triggerOrDisplay" });
});

test("a stop that would trigger as it comes in is refused with a word", () => {
  assert.equal(wordOf(() => checkTrigger("buy", 100n, 100n)), "trigger_above");
  assert.equal(wordOf(() => checkTrigger("sell", 101n, 100n)), "trigger_below");
  checkTrigger("buy", 101n, 100n);
  checkTrigger("sell", 1n, null);
});

test("a difference that does not fit is refused, and what fits is the book", () => {
  const book = new Book();
  const level = (price_ticks, lots) => ({ price_ticks, lots });
  const snapshot = { type: "snapshot", u: 7, bids: [level(99, 1), level(98, 2)],
    asks: [level(101, 3)] };
  assert(book.take(snapshot));
  assert(!book.take({ type: "diff", prev: 6, u: 8, bids: [], asks: [] }));
  assert(book.take({ type: "diff", prev: 7, u: 9, bids: [level(99, 0)], asks: [level(100, 4)] }));
  assert.deepEqual(book.best("bids").map((each) => each.price_ticks), [98]);
  assert.deepEqual(book.opposite("buy"), [[100n, 4n], [101n, 3n]]);
  assert.deepEqual(book.opposite("sell"), [[98n, 2n]]);
});

test("found: a market order took its price from a book that nobody kept up", () => {
  const book = new Book();
  assert(book.isStale, "nothing was told yet");
  const snapshot = { type: "snapshot", u: 7, bids: [], asks: [] };
  book.take(snapshot);
  assert(!book.isStale);
  book.lose();
  assert(book.isStale, "the line is down");
  book.take(snapshot);
  assert(!book.isStale);
  assert(!book.take({ type: "diff", prev: 8, u: 9, bids: [], asks: [] }));
  assert(book.isStale, "one was left out");
});

test("found: other lots, ticks or fees went unnoticed", () => {
  const held = new Terms(ROW, pipsOf);
  assert(held.areOf(ROW, pipsOf));
  for (const other of [{ lot_pips: "1000" }, { tick_pips: "10" }, { maker_fee_ppm: -1 },
    { taker_fee_ppm: 9 }, { least_notional: "2" }]) {
    assert(!held.areOf({ ...ROW, ...other }, pipsOf), JSON.stringify(other));
  }
  const row = { ...ROW, lot_pips: "100000", tick_size: "0.001" };
  held.take(row, pipsOf);
  assert(held.areOf(row, pipsOf));
  assert.equal(held.quotePips(2n, 3n), 600n);
  assert.equal(decimal(held.tickSize), "0.001");
});

test("both languages say everything, with the same figures", () => {
  const names = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort();
  assert.deepEqual(Object.keys(ZH).sort(), Object.keys(EN).sort());
  for (const [key, text] of Object.entries(EN)) {
    assert(ZH[key].length > 0 && text.length > 0, key);
    assert.deepEqual(names(ZH[key]), names(text), key);
  }
  assert.equal(languageOf("zh", ["en-GB"]), "zh");
  assert.equal(languageOf(null, ["fr", "zh-CN", "en"]), "zh");
  assert.equal(languageOf("xx", ["fr"]), "en");
  assert.equal(t("day"), "1 day");
});

test("calldata is a selector and whole words", () => {
  assert.equal(calldata("approve", "0xff", 1n),
    `0x095ea7b3${"ff".padStart(64, "0")}${"1".padStart(64, "0")}`);
});
