// How are amounts added and times shown? Amounts are decimal strings and stay exact.

const DIGITS = 18;

function units(text) {
  const [whole, part = ""] = text.replace("-", "").split(".");
  const all = BigInt(whole + part.slice(0, DIGITS).padEnd(DIGITS, "0"));
  return text.startsWith("-") ? -all : all;
}

export function sum(texts) {
  const total = texts.reduce((so, text) => so + units(text), 0n);
  return decimal(total);
}

function decimal(total) {
  const digits = (total < 0n ? -total : total).toString().padStart(DIGITS + 1, "0");
  const part = digits.slice(-DIGITS).replace(/0+$/, "");
  return `${total < 0n ? "-" : ""}${digits.slice(0, -DIGITS)}${part ? `.${part}` : ""}`;
}

export const isZero = (text) => units(text) === 0n;

// By how many millionths what was got is less than what the middle of the book would have brought.
export function spreadPpm(atMiddle, got) {
  const middle = units(atMiddle);
  return middle === 0n ? null : Number(((middle - units(got)) * 1_000_000n) / middle);
}

// As many digits as people read; the whole text stands in the title.
export function short(text) {
  const [whole, part = ""] = text.split(".");
  const shown = part.slice(0, 6).replace(/0+$/, "");
  return shown ? `${whole}.${shown}` : whole;
}

// An amount of a currency with the decimals that it is written with; a token has none of its own.
export function withCents(text, currency) {
  const [whole, part = ""] = short(text).split(".");
  const digits = /^[A-Z]{3}$/.test(currency) ? new Intl.NumberFormat("en",
    { style: "currency", currency }).resolvedOptions().minimumFractionDigits : 0;
  const cents = part.padEnd(digits, "0");
  return cents ? `${whole}.${cents}` : whole;
}

export function when(seconds, locale) {
  return new Date(seconds * 1000).toLocaleString(locale,
    { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

export function isToday(seconds, now = new Date()) {
  return new Date(seconds * 1000).toDateString() === now.toDateString();
}
