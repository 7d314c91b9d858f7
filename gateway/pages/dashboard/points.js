// Where does a shop sell without a program of its own? From links, and at a till.

import { element } from "../market/elements.js";
import { ask, confirmed, confirmedChange, get } from "./asking.js";
import { button, card, choice, field, form, shownOnce, table } from "./parts.js";
import { t } from "./words.js";

const SETTINGS = "btcpay.store.canmodifystoresettings";
const SELLS = "btcpay.store.cancreateinvoice";

export async function points(context) {
  const { store, may } = context;
  const at = `/v1/stores/${store.id}`;
  const [{ pay_buttons: rows }, now] = await Promise.all([get(`${at}/pay-buttons`), get(at)]);
  const parts = [listed(context, rows)];
  if (may(SETTINGS)) parts.push(making(context, now), till(context, now));
  return parts;
}

function listed({ store, may, attempt, again, tell }, rows) {
  const place = element("div", {});
  const end = (row) => button("remove", () => attempt(async () => {
    await ask("DELETE", `/v1/stores/${store.id}/pay-buttons/${row.id}`);
    await again();
    tell(t("done"));
  }));
  const form_ = (row) => button("button_html", () => place.replaceChildren(
    element("p", { className: "note" }, t("button_html_told")),
    element("pre", { className: "sample", tabIndex: 0 }, formOf(row))));
  return card("pay_buttons", element("p", { className: "note" }, t("pay_buttons_told")),
    table(["button_name", "amount", "tokens", "link", ""], rows.map((row) => [
      row.name,
      `${row.amount} ${row.currency}`,
      row.tokens.join(", ") || t("every_token"),
      element("a", { href: row.url }, t("link_open")),
      element("span", { className: "buttons" }, form_(row), ...(may(SETTINGS) ? [end(row)] : [])),
    ]), "no_pay_buttons"), place);
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
  .replaceAll(">", "&gt;").replaceAll("\"", "&quot;");

// A form for the shop's own site; what it asks for stands with us, so it has no field.
export function formOf({ url, name, amount, currency }) {
  const label = escaped(`${name} · ${amount} ${currency}`);
  return `<form method="post" action="${escaped(url)}">\n  <button>${label}</button>\n</form>`;
}

const chosenTokens = (tokens) => element("fieldset", {}, element("legend", {}, t("tokens_none")),
  ...tokens.map((one) => choice(null, { name: "tokens", value: one }, one)));

function making(context, { settle, tokens }) {
  const { store, attempt } = context;
  const text = (name, options) => element("input", { name, autocomplete: "off", ...options });
  const fields = [
    field("button_name", text("name", { maxLength: 120, required: true })),
    field("amount", text("amount", { inputMode: "decimal", maxLength: 32, required: true })),
    field("currency", text("currency", { maxLength: 16, value: settle, required: true })),
    chosenTokens(tokens),
    field("redirect_url", text("redirect_url", { type: "url", maxLength: 2048 })),
  ];
  return card("button_new", form("button_make", fields, (_, made) => attempt(async () => {
    const given = new FormData(made);
    const wanted = { tokens: given.getAll("tokens") };
    for (const name of ["name", "amount", "currency", "redirect_url"]) {
      wanted[name] = given.get(name).trim();
    }
    const path = `/v1/stores/${store.id}/pay-buttons`;
    await confirmedChange(context, "pay-button.create", "POST", path, wanted);
  })));
}

// A till is a link with a key that may make invoices and nothing else.
function till({ store, attempt }, { settle, tokens }) {
  const place = element("div", {});
  const label = element("input", { name: "label", maxLength: 80, required: true,
    autocomplete: "off" });
  const currency = element("input", { name: "currency", maxLength: 16, value: settle,
    required: true, autocomplete: "off" });
  const token = element("select", { name: "token" },
    element("option", { value: "" }, t("every_token")),
    ...tokens.map((one) => element("option", { value: one }, one)));
  const fields = [field("label", label), field("currency", currency), field("token", token)];
  return card("till", element("p", { className: "note" }, t("till_told")),
    form("till_make", fields, (given) => attempt(async () => {
      const wanted = { scopes: [SELLS], label: given.label.trim() };
      const stepUp = await confirmed("api-key.create", store.id, wanted);
      const made = await ask("POST", `/v1/stores/${store.id}/api-keys`, wanted, stepUp);
      place.replaceChildren(shownOnce("till_link",
        tillLink(location.origin, made.api_key, given.currency.trim(), given.token)));
    })), place);
}

export function tillLink(origin, key, currency, token) {
  const terms = new URLSearchParams({ key, currency, ...(token && { token }) });
  return `${origin}/pos#${terms}`;
}
