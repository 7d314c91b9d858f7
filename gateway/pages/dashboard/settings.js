// What does a shop call itself, how long does a price hold, and when is a payment enough?

import { element } from "../market/elements.js";
import { confirmedChange, get } from "./asking.js";
import { button, card, choice, field, form, table } from "./parts.js";
import { percentOf, ppmOf } from "./rules.js";
import { t } from "./words.js";

const SETTINGS = "btcpay.store.canmodifystoresettings";
const CLOSE = "tillbook.store.canclose";
const LIFETIME_S = { min: 60, max: 86_400 };
const STEPS_MAX = 8;
const PERCENT = "(100|[0-9]{1,2})([.,][0-9]{1,4})?";

export async function settings(context) {
  const { store, may } = context;
  const at = `/v1/stores/${store.id}`;
  const [now, { steps }] = await Promise.all([get(at), get(`${at}/confirmations`)]);
  const parts = [own(context, now), confirmations(context, steps, now.settle)];
  if (may(CLOSE)) parts.push(closing(context));
  return parts;
}

// What the form says in the words of the API.
export function settingsOf(given) {
  return {
    name: given.get("name").trim(),
    invoice_lifetime_s: Number(given.get("invoice_lifetime_s")),
    tolerance_ppm: ppmOf(given.get("tolerance_percent")),
    tolerance: given.get("tolerance").trim(),
    slippage_ppm: ppmOf(given.get("slippage_percent")),
    unique_order_ids: given.get("unique_order_ids") === "on",
    accepts_invoices: given.get("accepts_invoices") === "on",
  };
}

// Of all settings those that are to be another way: only they are confirmed, and changed.
export function otherThan(now, wanted) {
  return Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => value !== now[name]));
}

function own(context, now) {
  const { store, may, attempt, tell } = context;
  const disabled = !may(SETTINGS);
  const input = (name, value, options = {}) => element("input", {
    name, value, disabled, autocomplete: "off", ...options });
  const percent = (name, ppm) => input(name, percentOf(ppm), {
    inputMode: "decimal", maxLength: 8, pattern: PERCENT, required: true });
  const amount = field("tolerance", input("tolerance", now.tolerance, {
    inputMode: "decimal", maxLength: 32, required: true }));
  amount.querySelector("span").textContent = t("tolerance", { settle: now.settle });
  const fields = [
    field("name", input("name", now.name, { maxLength: 80 })),
    field("invoice_lifetime", input("invoice_lifetime_s", now.invoice_lifetime_s, {
      type: "number", step: 1, required: true, ...LIFETIME_S })),
    field("tolerance_percent", percent("tolerance_percent", now.tolerance_ppm)),
    amount,
    field("slippage_percent", percent("slippage_percent", now.slippage_ppm)),
    choice("unique_order_ids", { checked: now.unique_order_ids, disabled }),
    choice("accepts_invoices", { checked: now.accepts_invoices, disabled }),
  ];
  const note = element("p", { className: "note" }, t("settings_told"));
  if (disabled) return card(null, note, element("div", { className: "form" }, ...fields));
  return card(null, note, form("save", fields, (_, made) => attempt(async () => {
    const wanted = otherThan(now, settingsOf(new FormData(made)));
    if (Object.keys(wanted).length === 0) return tell(t("nothing_done"));
    await confirmedChange(context, "store.change", "PATCH", `/v1/stores/${store.id}`, wanted);
  })));
}

// From which price on so many blocks: a row each; a row without a number of blocks is none.
function confirmations(context, steps, settle) {
  const { store, may, attempt } = context;
  const note = element("p", { className: "note" }, t("confirmations_told", { settle }));
  if (!may(SETTINGS)) {
    return card("confirmations", note, table(["from_amount", "blocks"], steps.map((step) =>
      [`${step.from_amount} ${settle}`, String(step.confirmations)]), "no_steps"));
  }
  const rows = element("div", { className: "steps" });
  const more = button("step_add", () => {
    rows.append(stepRow());
    more.hidden = rows.children.length >= STEPS_MAX;
    rows.lastElementChild.querySelector("input").focus();
  });
  rows.append(...steps.map(stepRow), ...(steps.length < STEPS_MAX ? [stepRow()] : []));
  more.hidden = rows.children.length >= STEPS_MAX;
  return card("confirmations", note, form("save", [rows, more], (_, made) => attempt(async () => {
    const wanted = { steps: stepsOf(new FormData(made)) };
    const path = `/v1/stores/${store.id}/confirmations`;
    await confirmedChange(context, "confirmations.change", "PUT", path, wanted);
  })));
}

function stepRow(step = { from_amount: "", confirmations: "" }) {
  return element("div", { className: "step" },
    field("from_amount", element("input", { name: "from_amount", value: step.from_amount,
      inputMode: "decimal", maxLength: 32, autocomplete: "off" })),
    field("blocks", element("input", { name: "blocks", value: step.confirmations, type: "number",
      min: 1, max: 1_000, step: 1 })));
}

export function stepsOf(given) {
  const blocks = given.getAll("blocks");
  return given.getAll("from_amount").map((amount, n) => ({
    from_amount: amount.trim() || "0", confirmations: Number(blocks[n]) }))
    .filter(({ confirmations: count }) => count > 0);
}

function closing(context) {
  const { store, attempt } = context;
  return card("store_close", element("p", { className: "note" }, t("closing_told")),
    button("store_close", () => attempt(() =>
      confirmedChange(context, "store.close", "DELETE", `/v1/stores/${store.id}`, {}))));
}
