// What does a shop want done by itself, with money that comes otherwise than asked and with tokens?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { short } from "./numbers.js";
import { button, card, field, form, table } from "./parts.js";
import { t } from "./words.js";

const SETTINGS = "btcpay.store.canmodifystoresettings";
const PPM_OF_PERCENT = 10_000;

// What may be done with each kind of exception; for what is paid there is no new price.
export const ACTIONS = {
  late: ["keep", "return", "requote"],
  short: ["keep", "return", "requote"],
  over: ["keep", "return"],
  other_token: ["keep", "return"],
};

export const exceptionPath = (store) => `/v1/stores/${store.id}/exception-policies`;

// Ask for other rules, confirmed as exactly these: all of them, for what is not said is kept money.
export async function changeExceptions(store, wanted) {
  const stepUp = await confirmed("exceptions.change", store.id, wanted);
  await ask("PUT", exceptionPath(store), wanted, stepUp);
}

function chooser(name, words, prefix, chosen, options = {}) {
  return element("select", { name, ...options }, ...words.map((word) =>
    element("option", { value: word, selected: word === chosen }, t(`${prefix}_${word}`))));
}

export async function rules(context) {
  const { store, may } = context;
  const at = `/v1/stores/${store.id}`;
  const [exceptions, selling, { markets }, { settle }, { origins }] = await Promise.all([
    get(exceptionPath(store)), get(`${at}/conversion-policy`), get("/v1/markets"), get(at),
    get(`${at}/embedding`)]);
  const ours = markets.filter(({ quote }) => quote.symbol === settle);
  return [exceptionsCard(context, exceptions, may(SETTINGS)),
    sellingCard(context, selling, may(SETTINGS), ours, settle),
    embeddingCard(context, origins, may(SETTINGS))];
}

// The shop's own sites, a line each: on them the checkout may open over the page.
function embeddingCard({ store, attempt, again, tell }, origins, mayChange) {
  const lines = element("textarea", { name: "origins", rows: 3, spellcheck: false,
    value: origins.join("\n"), placeholder: "https://shop.example", disabled: !mayChange });
  const note = element("p", { className: "note" }, t("embedding_told"));
  const fields = [field("embedding_origins", lines)];
  if (!mayChange) return card("rules_embedding", note, ...fields);
  return card("rules_embedding", note, form("save", fields, (given) => attempt(async () => {
    const wanted = { origins: given.origins.split(/\s+/).filter(Boolean) };
    const stepUp = await confirmed("embedding.change", store.id, wanted);
    await ask("PUT", `/v1/stores/${store.id}/embedding`, wanted, stepUp);
    await again();
    tell(t("done"));
  })));
}

function exceptionsCard({ store, attempt, again, tell }, now, mayChange) {
  const fields = Object.entries(ACTIONS).map(([name, words]) => field(`when_${name}`,
    chooser(name, words, "does", now[name], { disabled: !mayChange })));
  const note = element("p", { className: "note" }, t("rules_told"));
  if (!mayChange) return card("rules_exceptions", note, ...fields);
  return card("rules_exceptions", note, form("save", fields, (wanted) => attempt(async () => {
    await changeExceptions(store, wanted);
    await again();
    tell(t("done"));
  })));
}

const KINDS = {
  at_once: [],
  threshold: ["worth", "age_s"],
  twap: ["slices", "period_s"],
  keep: ["keep_percent"],
};

// A policy of the API from the form: of other kinds' fields it has nothing.
export function policyOf(given) {
  const wanted = { kind: given.kind };
  for (const name of KINDS[given.kind]) {
    if (name === "worth") wanted.worth = given.worth.trim() || "0";
    else if (name === "keep_percent") wanted.keep_ppm = ppmOf(given.keep_percent);
    else wanted[name] = Number(given[name] || 0);
  }
  return wanted;
}

// A percentage as people type it in millionths, without a float between.
export function ppmOf(text) {
  const [whole, part = ""] = text.trim().replace(",", ".").split(".");
  return Number(whole || 0) * PPM_OF_PERCENT + Number(part.slice(0, 4).padEnd(4, "0"));
}

export function percentOf(ppm) {
  const part = String(ppm % PPM_OF_PERCENT).padStart(4, "0").replace(/0+$/, "");
  const whole = Math.floor(ppm / PPM_OF_PERCENT);
  return part ? `${whole}.${part}` : String(whole);
}

function sellingCard({ store, attempt, again, tell }, now, mayChange, markets, settle) {
  const kind = chooser("kind", Object.keys(KINDS), "policy", now.kind, { disabled: !mayChange });
  const number = (name, value, most) => element("input", { name, type: "number", min: 0, max: most,
    step: 1, value, disabled: !mayChange });
  const inputs = {
    worth: element("input", { name: "worth", inputMode: "decimal", value: now.worth,
      maxLength: 32, autocomplete: "off", disabled: !mayChange }),
    age_s: number("age_s", now.age_s, 2_592_000),
    slices: number("slices", now.slices, 1_000),
    period_s: number("period_s", now.period_s, 2_592_000),
    keep_percent: element("input", { name: "keep_percent", inputMode: "decimal", maxLength: 8,
      value: percentOf(now.keep_ppm), autocomplete: "off", disabled: !mayChange,
      pattern: "(100|[0-9]{1,2})([.,][0-9]{1,4})?" }),
  };
  const fields = Object.entries(inputs).map(([name, input]) => {
    const label = field(`policy_${name}`, input);
    if (name === "worth") label.querySelector("span").textContent = t("policy_worth", { settle });
    return label;
  });
  const showed = () => Object.keys(inputs).forEach((name, n) => {
    fields[n].hidden = !KINDS[kind.value].includes(name);
    inputs[name].disabled = fields[n].hidden || !mayChange;
  });
  kind.addEventListener("change", showed);
  showed();
  const note = element("p", { className: "note" }, t("selling_told"));
  const all = [field("policy", kind), ...fields];
  if (!mayChange) return card("rules_selling", note, ...all);
  const made = form("save", all, (given) => attempt(async () => {
    const wanted = policyOf(given);
    const stepUp = await confirmed("policy.change", store.id, wanted);
    await ask("PUT", `/v1/stores/${store.id}/conversion-policy`, wanted, stepUp);
    await again();
    tell(t("done"));
  }));
  return card("rules_selling", note, made, ...trying(store, made, markets, attempt));
}

// What the form's policy would have brought on the store's own payments, beside selling at once.
function trying(store, made, markets, attempt) {
  if (!markets.length) return [];
  const place = element("div", { ariaLive: "polite" });
  const tokens = element("select", {}, ...markets.map(({ base }) =>
    element("option", { value: base.symbol }, base.symbol)));
  const work = () => attempt(async () => {
    const wanted = policyOf(Object.fromEntries(new FormData(made)));
    const query = new URLSearchParams({ ...wanted, token: tokens.value });
    const tried = await get(`/v1/stores/${store.id}/conversion-policy/simulation?${query}`);
    place.replaceChildren(element("p", { className: "note" }, tried.note),
      table(["policy", "sales", "sold", "brought", "slippage", "left"], tried.policies.map((row) =>
        [t(`policy_${row.kind}`), String(row.sales), short(row.sold), short(row.brought),
          t("ppm", { ppm: row.slippage_ppm }), short(row.left)]), "none"));
  });
  return [element("div", { className: "filters" }, field("token", tokens),
    button("policy_try", work)), place];
}
