// What was sold, what did it bring, and what went another way than it should?

import { element } from "../market/elements.js";
import { ask, get } from "./asking.js";
import { isToday, isZero, short, spreadPpm, sum, when, withCents } from "./numbers.js";
import { button, card, facts, state, table } from "./parts.js";
import { ACTIONS, changeExceptions, exceptionPath } from "./rules.js";
import { locale, t } from "./words.js";

const PAGES_MAX = 8;
const WATCHED_S = 30 * 86_400;
const STATES = ["new", "processing", "settled", "expired", "invalid"];

const amountOf = (invoice) => invoice.amount;
const currencyOf = (invoice) => invoice.currency ?? "USD";
const money = (text, currency) => element("span", { title: `${text} ${currency}` },
  `${withCents(text, currency)} ${currency}`);

// Invoices while `wanted` holds of the last one of a page, up to a bound; the newest first.
async function newest(wanted, query = "") {
  const rows = [];
  let before = "";
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const from = before ? `&before=${before}` : "";
    const { invoices: found, next } = await get(`/v1/invoices?limit=25${query}${from}`);
    rows.push(...found);
    if (!next || !wanted(found.at(-1))) return { rows, isWhole: true };
    before = next;
  }
  return { rows, isWhole: false };
}

export async function today() {
  const { rows, isWhole } = await newest((last) => isToday(last.created_at));
  const ours = rows.filter(({ created_at: at }) => isToday(at));
  const settled = ours.filter(({ status }) => status === "settled");
  const currencies = [...new Set(settled.map(currencyOf))];
  const sold = currencies.map((one) => {
    const amounts = settled.filter((row) => currencyOf(row) === one).map(amountOf);
    return money(sum(amounts), one);
  });
  const open = ours.filter(({ status }) => status === "new" || status === "processing");
  const odd = ours.filter(isOdd);
  return [card(null,
    facts([
      ["sold_today", sold.length ? element("span", {}, ...spaced(sold)) : "0"],
      ["sales_today", String(settled.length)],
      ["net_today", short(sum(settled.map(({ net }) => net)))],
      ["open_today", String(open.length)],
      ["exceptions_today", odd.length
        ? element("a", { href: "#exceptions" }, String(odd.length)) : "0"],
    ], "figures"),
    isWhole ? "" : element("p", { className: "note" }, t("first_only", { count: rows.length }))),
  card("section_invoices", invoiceTable(ours.slice(0, 10)))];
}

const spaced = (nodes) => nodes.flatMap((node, n) => (n ? [" · ", node] : [node]));

// Behind an invoice so old that nobody looks at its address by himself: have it looked at again.
function rescanning({ may, attempt, tell }) {
  if (!may("btcpay.store.canmodifyinvoices")) return null;
  return (row) => {
    if (row.created_at > Date.now() / 1000 - WATCHED_S) return "";
    return button("rescan", () => attempt(async () => {
      await ask("POST", `/v1/invoices/${row.id}/rescan`);
      tell(t("rescanned"));
    }));
  };
}

export async function invoices(context) {
  const rescan = rescanning(context);
  const list = element("div", {});
  const status = element("select", { name: "status" },
    element("option", { value: "" }, t("every_status")),
    ...STATES.map((one) => element("option", { value: one }, t(`status_${one}`))));
  const order = element("input", { name: "order_id", maxLength: 128, autocomplete: "off" });
  const more = element("button", { type: "button", className: "small" }, t("more"));
  let rows = [];
  let next = null;
  async function load(isMore) {
    const query = new URLSearchParams({ limit: "25" });
    if (status.value) query.set("status", status.value);
    if (order.value.trim()) query.set("order_id", order.value.trim());
    if (isMore && next) query.set("before", next);
    const page = await get(`/v1/invoices?${query}`);
    rows = isMore ? [...rows, ...page.invoices] : page.invoices;
    next = page.next;
    more.hidden = !next;
    list.replaceChildren(invoiceTable(rows, rescan));
  }
  more.addEventListener("click", () => load(true));
  const form = element("form", { className: "filters" },
    element("label", {}, element("span", {}, t("status")), status),
    element("label", {}, element("span", {}, t("order")), order),
    element("button", { type: "submit" }, t("filter")));
  form.addEventListener("submit", (event) => { event.preventDefault(); load(false); });
  status.addEventListener("change", () => load(false));
  await load(false);
  return [card(null, form, list, more)];
}

// With what can be done with each where `action` says so.
function invoiceTable(rows, action = null) {
  const names = ["time", "order", "amount", "received", "net", "status"];
  return table(action ? [...names, ""] : names, rows.map((row) => [
    when(row.created_at, locale),
    element("span", {}, row.order_id || row.id.slice(0, 12)),
    money(amountOf(row), currencyOf(row)),
    short(row.received),
    short(row.net),
    element("span", {}, state(row.status, t(`status_${row.status}`)),
      isOdd(row) ? element("small", {}, ` ${t(`exception_${exceptionOf(row)}`)}`) : ""),
    ...(action ? [action(row)] : []),
  ]), "no_invoices");
}

// What is held with nothing left to sell was taken back by the chain, and may have come again.
const sellsNot = (row) => row.conversions.some(
  ({ status, unsold }) => status === "held" && unsold !== "0");
const isOdd = (row) => exceptionOf(row) !== "none";

function exceptionOf(row) {
  if (row.exception !== "none") return row.exception;
  return sellsNot(row) ? "held" : "none";
}

// Which rule is of which exception; the store keeps the rule.
const RULES = { paid_late: "late", paid_partial: "short", paid_over: "over" };

export async function exceptions({ store, may, attempt, again, tell }) {
  const { rows } = await newest(() => true);
  const odd = rows.filter(isOdd);
  const sees = may("btcpay.store.canviewstoresettings");
  const policies = sees ? await get(exceptionPath(store)) : null;
  const mayChange = may("btcpay.store.canmodifystoresettings");
  const rule = (row) => {
    const name = RULES[exceptionOf(row)];
    if (!policies || !name) return "–";
    if (!mayChange) return t(`does_${policies[name]}`);
    return element("span", { className: "buttons" }, ...ACTIONS[name]
      .map((what) => element("button", {
        type: "button", className: "small", ariaPressed: String(policies[name] === what),
        onclick: () => attempt(async () => {
          await changeExceptions(store, { ...policies, [name]: what });
          await again();
          tell(t("done"));
        }),
      }, t(`rule_${what}`))));
  };
  const table_ = table(["time", "order", "amount", "received", "what", "rule"], odd.map((row) => [
    when(row.created_at, locale),
    row.order_id || row.id.slice(0, 12),
    money(amountOf(row), currencyOf(row)),
    short(row.received),
    t(`exception_${exceptionOf(row)}`),
    rule(row),
  ]), "no_exceptions");
  return [card(null, element("p", { className: "note" }, t("exceptions_told")), table_)];
}

export async function conversions() {
  const { rows } = await newest(() => true);
  const sales = rows.flatMap((row) => row.conversions.map((sale) => ({ row, sale })));
  const sold = sales.filter(({ sale }) => !isZero(sale.sold));
  return [card(null,
    facts([
      ["proceeds", short(sum(sold.map(({ sale }) => sale.proceeds)))],
      ["fees", short(sum(sold.map(({ sale }) => sale.fee)))],
      ["net", short(sum(sold.map(({ sale }) => sale.net)))],
      ["spread", spreadOfAll(sold.map(({ sale }) => sale))],
      ["unsold", String(sales.filter(({ sale }) => !isZero(sale.unsold)).length)],
    ], "figures"),
    element("p", { className: "note" }, t("spread_told")),
    table(["order", "market", "sold", "proceeds", "spread", "status"],
      sales.map(({ row, sale }) => [
        row.order_id || row.id.slice(0, 12),
        sale.market,
        short(sale.sold),
        short(sale.proceeds),
        ppm(sale.spread_ppm),
        element("span", {}, state(sale.status, t(`sale_${sale.status}`)),
          sale.reason ? element("small", {}, ` ${sale.reason}`) : ""),
      ]), "no_conversions"))];
}

const ppm = (spread) => (spread === null ? "–" : t("ppm", { ppm: spread }));

// Of all sales that know the middle of the book, as one.
function spreadOfAll(sales) {
  const compared = sales.filter(({ at_middle: middle }) => middle !== null);
  return ppm(spreadPpm(sum(compared.map(({ at_middle: middle }) => middle)),
    sum(compared.map(({ proceeds }) => proceeds))));
}
