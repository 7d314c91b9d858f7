// May refunds be paid without the wallet? Out of an account that the shop fills for that alone.

import { element } from "../market/elements.js";
import { ask, confirmedChange, get, Refused } from "./asking.js";
import { short, when } from "./numbers.js";
import { button, card, facts, field, form } from "./parts.js";
import { percentOf, ppmOf } from "./rules.js";
import { locale, t } from "./words.js";

const SETTINGS = "btcpay.store.canmodifystoresettings";
const DAY_S = 86_400;
const DAYS = { min: 1, max: 366, value: 90 };
const SLIPPAGE_PPM = 10_000;

export async function refundAccount(context) {
  const { store, may } = context;
  const path = `/v1/stores/${store.id}/refund-key`;
  const now = await accountAt(path);
  const told = now ? shown(context, path, now)
    : [element("p", { className: "empty" }, t("no_refund_account"))];
  const parts = [card("refund_account",
    element("p", { className: "note" }, t("refund_account_told")), ...told)];
  if (may(SETTINGS)) parts.push(making(context, path, now));
  return parts;
}

const isOver = ({ expires_at: at }) => at * 1000 <= Date.now();

async function accountAt(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

function shown({ may, attempt, again, tell }, path, now) {
  const code = (text) => element("code", {}, text);
  const has = Object.entries(now.balances).map(([symbol, amount]) => `${short(amount)} ${symbol}`);
  const rows = [
    ["refund_account_has", has.join(" · ") || "0"],
    ["refund_account_fill", code(now.top_up_address)],
    [isOver(now) ? "refund_account_ended" : "ends", when(now.expires_at, locale)],
    ["refund_slippage", `${percentOf(now.slippage_ppm)} %`],
  ];
  if (!may(SETTINGS) || isOver(now)) return [facts(rows)];
  return [facts(rows), button("refund_account_end", () => attempt(async () => {
    await ask("DELETE", path);
    await again();
    tell(t("done"));
  }))];
}

function making(context, path, now) {
  const days = element("input", { name: "days", type: "number", step: 1, required: true, ...DAYS });
  const slippage = element("input", { name: "slippage", inputMode: "decimal", maxLength: 8,
    pattern: "[0-9]{1,2}([.,][0-9]{1,4})?", value: percentOf(SLIPPAGE_PPM), required: true,
    autocomplete: "off" });
  const fields = [field("refund_account_days", days), field("refund_slippage", slippage)];
  const note = now && !isOver(now) ? [element("p", { className: "note" },
    t("refund_account_instead"))] : [];
  const made = form("refund_account_make", fields, (given) => context.attempt(async () => {
    const wanted = { lifetime_s: Number(given.days) * DAY_S, slippage_ppm: ppmOf(given.slippage) };
    await confirmedChange(context, "refund-key.create", "POST", path, wanted);
  }));
  return card("refund_account_new", ...note, made);
}
