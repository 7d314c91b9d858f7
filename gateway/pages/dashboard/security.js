// What does somebody sign in with, and where is he signed in?

import { element } from "../market/elements.js";
import { ask, confirmed, get, newPasskey, unhex } from "./asking.js";
import { when } from "./numbers.js";
import { button, card, facts, field, form, shownOnce, table } from "./parts.js";
import { logTable } from "./shop.js";
import { locale, t } from "./words.js";

export async function account(context) {
  const { me } = context;
  const [{ sessions }, own, { sign_up: signUp }, { markets }] = await Promise.all([
    get("/v1/people/sessions"), get("/v1/people/audit-log?limit=25"), get("/v1/people/nonce"),
    get("/v1/markets")]);
  const warnings = [];
  if (me.recovered) warnings.push(t("recovered"));
  if (me.passkeys.length < 2) warnings.push(t("two_passkeys"));
  if (me.recovery_codes_left < 3) warnings.push(t("few_codes", { left: me.recovery_codes_left }));
  return [
    ...warnings.map((text) => element("p", { className: "warning" }, text)),
    card(null, facts([["wallet", element("code", {}, me.wallet ?? t("none"))]]), naming(context)),
    ...(signUp ? [making(context, markets)] : []),
    passkeys(context), codes(context), recovery(context), sessionsCard(context, sessions),
    card("section_log", logTable(own.rows)),
  ];
}

function naming({ me, attempt, begin }) {
  const input = element("input", { name: "name", maxLength: 80, value: me.name,
    autocomplete: "name" });
  return form("save", [field("name", input)], ({ name }) => attempt(async () => {
    await ask("PATCH", "/v1/people/me", { name });
    await begin();
  }));
}

// A store for one's own wallet: then the wallet signs what the store may sell for it.
function making({ me, attempt, begin, walletOf }, markets) {
  const place = element("div", {});
  const name = element("input", { name: "name", maxLength: 80, required: true });
  const settle = element("select", { name: "settle" },
    ...[...new Set(markets.map(({ quote }) => quote.symbol))].map((one) =>
      element("option", { value: one }, one)));
  const tokens = element("fieldset", {}, element("legend", {}, t("tokens")),
    ...[...new Set(markets.map(({ base }) => base.symbol))].map((one) =>
      element("label", { className: "choice" },
        element("input", { type: "checkbox", name: "tokens", value: one, checked: true }),
        element("span", {}, one))));
  const url = element("input", { name: "webhook_url", type: "url", autocomplete: "off" });
  const fields = [field("name", name), field("settle", settle), tokens, field("endpoint", url)];
  return card("store_new", form("store_make", fields, (_, made) => attempt(async () => {
    const given = new FormData(made);
    const told = await ask("POST", "/v1/stores", { wallet: me.wallet, name: given.get("name"),
      settle: given.get("settle"), tokens: given.getAll("tokens"),
      webhook_url: given.get("webhook_url") });
    place.replaceChildren(shownOnce("shown_once",
      [told.api_key, told.webhook_secret].filter(Boolean).join("\n")));
    const { provider, account: signer } = await walletOf(me.wallet);
    for (const { id, grant } of told.grants) {
      const signature = await provider.request({
        method: "eth_signTypedData_v4", params: [signer, JSON.stringify(grant)] });
      await ask("POST", `/v1/stores/${told.id}/grants/${id}/approval`, { signature });
    }
    place.append(button("store_show", () => begin()));
  })), place);
}

function passkeys({ me, attempt, begin, tell }) {
  const remove = (id) => button("remove", () => attempt(async () => {
    const stepUp = await confirmed("passkey.remove", "", { id });
    await ask("DELETE", `/v1/people/passkeys/${id}`, undefined, stepUp);
    await begin();
    tell(t("done"));
  }));
  const rows = me.passkeys.map((key) => [key.name || key.id.slice(0, 10),
    when(key.created_at, locale), when(key.used_at, locale), remove(key.id)]);
  const input = element("input", { name: "name", maxLength: 80, autocomplete: "off" });
  const add = form("passkey_add", [field("passkey_name", input)],
    ({ name }) => attempt(async () => {
      const { nonce, rp_id: rpId } = await get("/v1/people/nonce");
      const credential = await newPasskey(unhex(nonce), rpId, me);
      const stepUp = me.recovered ? "" : await confirmed("passkey.add", "", { id: credential.id });
      await ask("POST", "/v1/people/passkeys", { nonce, credential, name }, stepUp);
      await begin();
      tell(t("passkey_added"));
    }));
  return card("passkeys", table(["name", "since", "used", ""], rows, "no_passkeys"), add);
}

function codes({ me, attempt, begin, tell }) {
  const place = element("div", {});
  if (me.totp) {
    return card("totp", element("p", { className: "note" }, t("totp_on")),
      button("remove", () => attempt(async () => {
        const stepUp = await confirmed("totp.remove", "");
        await ask("DELETE", "/v1/people/totp", undefined, stepUp);
        await begin();
        tell(t("done"));
      })));
  }
  return card("totp", element("p", { className: "note" }, t("totp_told")),
    button("totp_add", () => attempt(async () => {
      const stepUp = me.recovered ? "" : await confirmed("totp.add", "");
      const made = await ask("POST", "/v1/people/totp", {}, stepUp);
      const input = element("input", { name: "code", inputMode: "numeric", maxLength: 6,
        autocomplete: "one-time-code", required: true });
      const qr = element("img", { src: made.qr, alt: t("totp_qr"), width: 180, height: 180 });
      place.replaceChildren(qr, shownOnce("totp_secret", made.secret),
        form("confirm", [field("one_time_code", input)], ({ code }) => attempt(async () => {
          await ask("POST", "/v1/people/totp/confirmation", { code: code.trim() });
          await begin();
          tell(t("totp_added"));
        })));
    })), place);
}

function recovery({ me, attempt }) {
  const place = element("div", {});
  return card("recovery_codes",
    element("p", { className: "note" }, t("codes_told", { left: me.recovery_codes_left })),
    button("codes_make", () => attempt(async () => {
      const stepUp = me.recovered ? "" : await confirmed("recovery-codes.make", "");
      const made = await ask("POST", "/v1/people/recovery-codes", {}, stepUp);
      place.replaceChildren(shownOnce("shown_once", made.codes.join("\n")));
    })), place);
}

function sessionsCard({ attempt, again, begin }, sessions) {
  const end = (row) => button("end", () => attempt(async () => {
    await ask("DELETE", `/v1/people/sessions/${row.id}`);
    if (row.is_this) await begin();
    else await again();
  }));
  return card("sessions", table(["since", "from", "browser", ""], sessions.map((row) => [
    when(row.created_at, locale), row.network || "–",
    row.is_this ? t("this_browser") : row.agent.slice(0, 60) || "–", end(row)]), "none"));
}
