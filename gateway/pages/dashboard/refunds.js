// What does a shop give back, and who has still to do what for it?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { isZero, short, when } from "./numbers.js";
import { button, card, field, form, shownOnce, state, table } from "./parts.js";
import { refundAccount } from "./refund_account.js";
import { ppmOf } from "./rules.js";
import { locale, t } from "./words.js";

const SETTINGS = "btcpay.store.canviewstoresettings";
const SEE = "btcpay.store.canviewpullpayments";
const OPEN = "btcpay.store.cancreatepullpayments";
const PROPOSE = "btcpay.store.cancreatenonapprovedpullpayments";
const CANCEL = "btcpay.store.canarchivepullpayments";
const PAY = "btcpay.store.canmanagepayouts";
export const VARIANTS = ["rate_then", "current_rate", "fiat", "overpaid", "custom"];

export async function refunds(context) {
  const { may } = context;
  const parts = [];
  if (may(SEE)) parts.push(await listed(context));
  if (may(PROPOSE)) parts.push(await opening(context));
  if (may(SETTINGS)) parts.push(...await refundAccount(context));
  return parts;
}

async function listed(context) {
  const list = element("div", {});
  const place = element("div", {});
  const more = button("more", () => context.attempt(load));
  const rows = [];
  let next = null;
  async function load() {
    const page = await get(`/v1/refunds${next ? `?before=${next}` : ""}`);
    rows.push(...page.refunds);
    next = page.next;
    more.hidden = next === null;
    list.replaceChildren(table(["time", "amount", "status", "why", ""], rows.map((row) => [
      when(row.created_at, locale),
      `${short(row.amount)} ${row.token}`,
      state(row.status, t(`refund_${row.status}`)),
      row.note || row.reason || "–",
      actions(context, row, place),
    ]), "no_refunds"));
  }
  await load();
  return card(null, element("p", { className: "note" }, t("refunds_told")), place, list, more);
}

function actions({ store, may, attempt, again, tell, walletOf }, row, place) {
  const at = `/v1/refunds/${row.id}`;
  const done = async (path, body, stepUp) => {
    await ask("POST", path, body, stepUp);
    await again();
    tell(t("done"));
  };
  const approve = () => attempt(async () => {
    const { revision } = row;
    const stepUp = await confirmed("refund.approve", store.id, { refund_id: row.id, revision });
    await done(`${at}/approve`, { revision }, stepUp);
  });
  const paid = () => attempt(async () => {
    const stepUp = await confirmed("refund.mark-paid", store.id, { refund_id: row.id });
    await done(`${at}/mark-paid`, {}, stepUp);
  });
  const sign = () => attempt(async () => {
    const { wallet } = await get(`/v1/stores/${store.id}`);
    const { provider, account } = await walletOf(wallet);
    const { withdrawal } = await ask("POST", `${at}/withdrawal`);
    const signature = await provider.request({
      method: "eth_signTypedData_v4", params: [account, JSON.stringify(withdrawal)] });
    await done(`${at}/signature`, { signature });
  });
  const link = () => attempt(async () => {
    const stepUp = await confirmed("refund.claim-link", store.id, { refund_id: row.id });
    const shown = await ask("POST", `${at}/claim-link`, {}, stepUp);
    place.replaceChildren(shownOnce("claim_link", shown.claim_url));
  });
  const isOpen = row.status === "awaiting_payment";
  const waits = row.status === "awaiting_approval";
  const offered = [
    [waits && may(PAY), "refund_approve", approve],
    [isOpen && row.receiver !== null && may(PAY), "refund_sign", sign],
    [(isOpen || waits) && row.receiver === null && may(PAY), "refund_link", link],
    [isOpen && may(PAY), "refund_paid", paid],
    [(isOpen || waits) && may(CANCEL), "refund_cancel",
      () => attempt(() => done(`${at}/cancel`, {}))],
  ];
  return element("span", { className: "buttons" },
    ...offered.filter(([is]) => is).map(([, word, work]) => button(word, work)));
}

// A refund of one of the newest invoices for which something came.
async function opening({ store, may, attempt, again, tell }) {
  const { invoices } = await get("/v1/invoices?limit=25");
  const paid = invoices.filter(({ options }) => options.some(({ received }) => !isZero(received)));
  if (!paid.length) {
    return card("refund_new", element("p", { className: "empty" }, t("refund_nothing")));
  }
  const invoice = element("select", { name: "invoice_id" }, ...paid.map((row) =>
    element("option", { value: row.id },
      `${row.order_id.slice(0, 40) || row.id.slice(0, 12)} · ${row.amount} ${row.currency}`)));
  const variant = element("select", { name: "variant" }, ...VARIANTS.map((one) =>
    element("option", { value: one }, t(`variant_${one}`))));
  const amount = element("input", { name: "amount", inputMode: "decimal", maxLength: 32,
    autocomplete: "off", required: true });
  const currency = element("input", { name: "currency", maxLength: 16, autocomplete: "off" });
  const deduct = element("input", { name: "deduct", inputMode: "decimal", maxLength: 8,
    pattern: "[0-9]{1,2}([.,][0-9]{1,4})?", autocomplete: "off" });
  const reason = element("input", { name: "reason", maxLength: 256, autocomplete: "off" });
  const custom = [field("amount", amount), field("currency", currency)];
  const showed = () => custom.forEach((label) => {
    label.hidden = variant.value !== "custom";
    label.querySelector("input").disabled = label.hidden;
  });
  variant.addEventListener("change", showed);
  showed();
  const fields = [field("section_invoices", invoice), field("variant", variant), ...custom,
    field("deduct", deduct), field("why", reason)];
  return card("refund_new", form("refund_open", fields, (given) => attempt(async () => {
    const wanted = { variant: given.variant, approve: may(OPEN),
      ...(given.reason && { reason: given.reason }),
      ...(given.deduct && { deduct_ppm: ppmOf(given.deduct) }),
      ...(given.variant === "custom" && { amount: given.amount.trim(),
        currency: given.currency.trim() }) };
    const named = { invoice_id: given.invoice_id, ...wanted };
    const stepUp = await confirmed("refund.create", store.id, named);
    const made = await ask("POST", `/v1/invoices/${given.invoice_id}/refunds`, wanted, stepUp);
    await again();
    document.getElementById("shown").prepend(shownOnce("claim_link", made.claim_url));
    tell(t("done"));
  })));
}
