// Which of a shop's programs have keys, and what may each do?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { when } from "./numbers.js";
import { button, card, field, form, shownOnce, table } from "./parts.js";
import { locale, t } from "./words.js";

const SETTINGS = "btcpay.store.canmodifystoresettings";
const FORMER_S = 86_400;

const code = (text) => element("code", {}, text);
const scopeWords = (scope) => t(`scope_${scope.split(".").at(-1)}`);

export async function keys(context) {
  const { store, may, attempt, again, tell } = context;
  const path = `/v1/stores/${store.id}/api-keys`;
  const { api_keys: rows } = await get(path);
  const place = element("div", {});
  const shown = (told) => place.replaceChildren(shownOnce("shown_once", told.api_key));
  const rotate = (row) => button("key_rotate", () => attempt(async () => {
    const wanted = { key_id: row.id, former_lifetime_s: FORMER_S };
    const stepUp = await confirmed("api-key.rotate", store.id, wanted);
    shown(await ask("POST", `${path}/${row.id}/rotation`, { former_lifetime_s: FORMER_S }, stepUp));
    tell(t("key_rotated"));
  }));
  const revoke = (row) => button("revoke", () => attempt(async () => {
    await ask("DELETE", `${path}/${row.id}`);
    await again();
    tell(t("key_revoked"));
  }));
  const parts = [card(null, element("p", { className: "note" }, t("keys_told")),
    table(["label", "scopes", "used", "ends", ""], rows.map((row) => [
      element("span", {}, row.label || "–", " ", code(`${row.hint}…`)),
      row.scopes.map(scopeWords).join(", "),
      row.used_at ? when(row.used_at, locale) : "–",
      row.ends_at ? when(row.ends_at, locale) : "–",
      may(SETTINGS) && row.works
        ? element("span", { className: "buttons" }, rotate(row), revoke(row)) : "",
    ]), "no_keys"), place)];
  if (may(SETTINGS)) parts.push(making(context, path, shown));
  return parts;
}

function making({ store, attempt }, path, shown) {
  const label = element("input", { name: "label", maxLength: 80, autocomplete: "off" });
  const choices = store.scopes.filter((scope) => scope.startsWith("btcpay."))
    .map((scope) => element("label", { className: "choice" },
      element("input", { type: "checkbox", name: "scopes", value: scope }),
      element("span", {}, scopeWords(scope))));
  const fields = [field("label", label), element("fieldset", {},
    element("legend", {}, t("scopes")), ...choices)];
  return card("key_new", form("key_make", fields, (_, made) => attempt(async () => {
    const given = new FormData(made);
    const wanted = { scopes: given.getAll("scopes"), label: given.get("label") };
    const stepUp = await confirmed("api-key.create", store.id, wanted);
    shown(await ask("POST", path, wanted, stepUp));
    made.reset();
  })));
}
