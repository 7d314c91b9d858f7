// What did a person mean by the amount that was typed, and how is an amount written?
//
// Integers only: an amount is a BigInt of pips, 10^8 to a token. What can be read in two ways is
// refused with both of them, for a guess would be signed.

export const PLACES = 8;
export const PIPS = 10n ** 8n;
export const PIPS_MAX = 2n ** 63n - 1n;
export const PPM = 1_000_000n;

// `word` is a key of words.js, `figures` what its text names.
export class AmountError extends Error {
  constructor(word, figures = {}) {
    super(word);
    this.word = word;
    this.figures = figures;
  }
}

// Digits, points and commas of an input method for Chinese, and every kind of blank.
const WIDE = { "，": ",", "．": ".", "。": ".", "、": "," };
const plain = (text) => text.trim()
  .replace(/[０-９]/g, (digit) => String.fromCharCode(digit.charCodeAt(0) - 0xfee0))
  .replace(/[，．。、]/g, (mark) => WIDE[mark])
  .replace(/[\u00a0\u2007\u2009\u202f\u3000’']/g, " ");

export function pipsOf(typed) {
  const text = plain(typed);
  if (!text) throw new AmountError("amount_empty");
  if (/^[-−+]/.test(text)) throw new AmountError("amount_sign", { typed });
  if (!/^[\d., ]+$/.test(text) || !/\d/.test(text)) {
    throw new AmountError("amount_strange", { typed });
  }
  const [whole, rest] = parts(text, typed);
  if (rest.length > PLACES) throw new AmountError("amount_long", { typed });
  const amount = BigInt(whole || "0") * PIPS + BigInt(rest.padEnd(PLACES, "0"));
  if (amount > PIPS_MAX) throw new AmountError("amount_large", { typed });
  return amount;
}

// Return the digits before and behind the decimal mark.
function parts(text, typed) {
  const marks = text.match(/[.,]/g) ?? [];
  const last = marks.at(-1);
  const kinds = new Set(marks);
  if (kinds.size === 2 || (marks.length === 1 && text.includes(" "))) {
    const [whole, rest, ...more] = text.split(last);
    if (more.length) throw new AmountError("amount_strange", { typed });
    return [ungrouped(whole, typed), digits(rest, typed)];
  }
  if (marks.length === 1) {
    const [whole, rest] = text.split(last);
    if (last === "," && rest.length === 3 && /^[1-9]\d{0,2}$/.test(whole)) {
      throw new AmountError("amount_ambiguous", { typed, large: whole + rest,
        small: `${whole}.${rest}` });
    }
    return [digits(whole, typed), digits(rest, typed)];
  }
  return [ungrouped(text, typed), ""];
}

function digits(text, typed) {
  if (!/^\d*$/.test(text)) throw new AmountError("amount_strange", { typed });
  return text;
}

// Return digits without the marks between thousands, which must be of one kind and in their places.
function ungrouped(text, typed) {
  const mark = text.match(/[., ]/)?.[0];
  if (mark === undefined) return text;
  const groups = text.split(mark);
  if (!/^[1-9]\d{0,2}$/.test(groups[0]) || !groups.slice(1).every((g) => /^\d{3}$/.test(g))) {
    throw new AmountError("amount_groups", { typed });
  }
  return groups.join("");
}

// Return how many steps an amount has; a price or a quantity between two steps is refused.
export function stepsOf(amount, step, word) {
  if (amount <= 0n) throw new AmountError("amount_zero");
  if (amount % step) throw new AmountError(word, { step: decimal(step) });
  return amount / step;
}

// Write pips with at least `least` decimals and no zeros behind those.
export function decimal(amount, least = 0) {
  const sign = amount < 0n ? "-" : "";
  const text = (amount < 0n ? -amount : amount).toString().padStart(PLACES + 1, "0");
  const whole = text.slice(0, -PLACES);
  const rest = text.slice(-PLACES).replace(/0+$/, "").padEnd(least, "0");
  return sign + whole + (rest ? `.${rest}` : "");
}

// Write pips for eyes: thousands apart by a thin space, which pipsOf reads again.
export function pretty(amount, least = 0) {
  return grouped(decimal(amount, least));
}

export function grouped(text) {
  const [whole, rest] = text.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (rest ? `.${rest}` : "");
}

export function placesOf(step) {
  return decimal(step).split(".")[1]?.length ?? 0;
}

// A token's contract counts in raw units: `decimals` of them, where we count in eight.
export function rawOf(pips, decimals) {
  if (decimals >= PLACES) return pips * 10n ** BigInt(decimals - PLACES);
  const step = 10n ** BigInt(PLACES - decimals);
  if (pips % step) throw new AmountError("amount_decimals", { decimals });
  return pips / step;
}

export function pipsOfRaw(raw, decimals) {
  return decimals >= PLACES
    ? raw / 10n ** BigInt(decimals - PLACES)
    : raw * 10n ** BigInt(PLACES - decimals);
}

export const feeOf = (quotePips, ppm) => (quotePips * ppm) / PPM;
