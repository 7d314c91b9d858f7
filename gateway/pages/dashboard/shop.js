// Where does a shop's money go, who works there, and how do its doors to the outside do?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { short, when } from "./numbers.js";
import { button, card, facts, field, form, shownOnce, state, table } from "./parts.js";
import { locale, t } from "./words.js";

const ROLES = ["clerk", "accountant", "manager", "owner"];
const PAYOUT = "tillbook.store.canchangepayout";
const TEAM = "tillbook.store.canmanageteam";
const WEBHOOKS = "btcpay.store.webhooks.canmodifywebhooks";
const SETTINGS = "btcpay.store.canmodifystoresettings";

const code = (text) => element("code", {}, text);

export async function payouts({ store, may, attempt, again, tell }) {
  const path = `/v1/stores/${store.id}/payout-changes`;
  const { wallet, changes } = await get(path);
  const cancel = (id) => button("cancel", () => attempt(async () => {
    await ask("POST", `${path}/${id}/cancel`);
    await again();
    tell(t("payout_called_off"));
  }));
  const rows = changes.map((row) => [
    when(row.asked_at, locale),
    code(row.wallet),
    element("span", {}, state(row.state, t(`payout_${row.state}`)), row.why
      ? element("small", {}, ` ${row.why}`) : ""),
    row.state === "waiting" ? when(row.due_at, locale) : when(row.ended_at, locale),
    row.state === "waiting" && may(PAYOUT) ? cancel(row.id) : "",
  ]);
  const parts = [card(null, facts([["payout_wallet", code(wallet)]]),
    element("p", { className: "note" }, t("payout_told"))),
  card("payout_changes", table(["time", "wallet", "status", "effect", ""], rows,
    "no_payout_changes"))];
  if (may(PAYOUT)) {
    const input = element("input", { name: "wallet", required: true, autocomplete: "off",
      spellcheck: false, pattern: "0x[0-9a-fA-F]{40}" });
    parts.push(card("payout_new", form("payout_ask", [field("wallet", input)],
      ({ wallet: asked }) => attempt(async () => {
        const stepUp = await confirmed("payout.change", store.id, { wallet: asked.trim() });
        await ask("POST", path, { wallet: asked.trim() }, stepUp);
        await again();
        tell(t("payout_asked"));
      }))));
  }
  return parts;
}

export async function grants({ store }) {
  const { grants: rows } = await get(`/v1/stores/${store.id}/grants`);
  return [card(null, element("p", { className: "note" }, t("grants_told")),
    table(["market", "status", "cap_left", "floor", "ends"], rows.map((row) => [
      row.market,
      state(row.status, t(`grant_${row.status}`)),
      row.notional_left === null ? "–"
        : `${short(row.notional_left)} / ${short(row.notional_cap)}`,
      short(row.floor_price),
      when(row.expires_at, locale),
    ]), "no_grants"))];
}

export async function webhooks({ store, may, attempt, again, tell }) {
  const path = `/v1/stores/${store.id}`;
  const [{ deliveries }, { webhooks: endpoints }] = await Promise.all([
    get(`${path}/webhook-deliveries`), get(`${path}/webhooks`)]);
  const failed = deliveries.filter(({ attempts, status }) => attempts > 1
    || status === "dead");
  const again_ = (row) => (may(WEBHOOKS) && row.status !== "pending"
    ? button("redeliver", () => attempt(async () => {
      await ask("POST", `${path}/webhook-deliveries/${row.id}/redelivery`);
      await again();
      tell(t("redelivered"));
    })) : "");
  const place = element("div", {});
  const renew = (row) => button("secret_new", () => attempt(async () => {
    const stepUp = await confirmed("webhook-secret.rotate", store.id, { endpoint_id: row.id });
    const made = await ask("POST", `${path}/webhooks/${row.id}/secret`, {}, stepUp);
    place.replaceChildren(shownOnce("shown_once", made.webhook_secret));
  }));
  const parts = [card(null,
    table(["endpoint", "webhook_health", ""], endpoints.map((row) => [
      code(row.url),
      state(row.enabled ? "live" : "dead", t(row.enabled ? "webhook_on" : "webhook_off")),
      may(WEBHOOKS) ? renew(row) : "",
    ]), "no_endpoints"),
    place,
    facts([["webhook_failed", `${failed.length} / ${deliveries.length}`]]),
    element("p", { className: "note" }, t("secret_told"))),
  card("deliveries", table(["what", "status", "attempts", "answer", ""],
    deliveries.map((row) => [
      row.type,
      state(row.status, t(`delivery_${row.status}`)),
      String(row.attempts),
      row.last_status ? String(row.last_status) : row.last_error || "–",
      again_(row),
    ]), "no_deliveries"))];
  return parts;
}

const scopeWords = (scope) => t(`scope_${scope.split(".").at(-1)}`);

export async function keys({ store, may, attempt, again, tell }) {
  const path = `/v1/stores/${store.id}/api-keys`;
  const { api_keys: rows } = await get(path);
  const place = element("div", {});
  const parts = [card(null, element("p", { className: "note" }, t("keys_told")),
    table(["label", "scopes", "used", ""], rows.map((row) => [
      element("span", {}, row.label || "–", " ", code(`${row.hint}…`)),
      row.scopes.map(scopeWords).join(", "),
      row.used_at ? when(row.used_at, locale) : "–",
      may(SETTINGS) && row.works ? button("revoke", () => attempt(async () => {
        await ask("DELETE", `${path}/${row.id}`);
        await again();
        tell(t("key_revoked"));
      })) : "",
    ]), "no_keys"), place)];
  if (may(SETTINGS)) {
    const label = element("input", { name: "label", maxLength: 80, autocomplete: "off" });
    const choices = store.scopes.filter((scope) => scope.startsWith("btcpay."))
      .map((scope) => element("label", { className: "choice" },
        element("input", { type: "checkbox", name: "scopes", value: scope }),
        element("span", {}, scopeWords(scope))));
    const fields = [field("label", label), element("fieldset", {},
      element("legend", {}, t("scopes")), ...choices)];
    parts.push(card("key_new", form("key_make", fields, (_, made) => attempt(async () => {
      const given = new FormData(made);
      const wanted = { scopes: given.getAll("scopes"), label: given.get("label") };
      const stepUp = await confirmed("api-key.create", store.id, wanted);
      const told = await ask("POST", path, wanted, stepUp);
      place.replaceChildren(shownOnce("shown_once", told.api_key));
      made.reset();
    }))));
  }
  return parts;
}

const REPORTS = ["payments", "conversions", "refunds", "payouts", "fees", "settlement",
  "reconciliation"];

export async function reports({ store }) {
  const link = (name, form_) => element("a", {
    href: `/v1/stores/${store.id}/reports/${name}?format=${form_}`, download: `${name}.${form_}`,
  }, form_.toUpperCase());
  return [card(null, element("p", { className: "note" }, t("reports_told")),
    table(["report", "download"], REPORTS.map((name) => [
      t(`report_${name}`), element("span", {}, link(name, "csv"), " · ", link(name, "json"))]),
    "none"))];
}

export async function team(context) {
  const { store, may, me, attempt, again, tell } = context;
  const path = `/v1/stores/${store.id}`;
  const { members } = await get(`${path}/members`);
  const change = (member) => {
    const select = element("select", { "aria-label": t("role_of", { who: nameOf(member) }) },
      ...ROLES.map((role) => element("option", { value: role, selected: role === member.role },
        t(`role_${role}`))));
    select.addEventListener("change", () => attempt(async () => {
      const wanted = { user_id: member.user_id, role: select.value };
      select.value = member.role;
      const stepUp = await confirmed("member.change", store.id, wanted);
      await ask("PATCH", `${path}/members/${member.user_id}`, { role: wanted.role }, stepUp);
      await again();
      tell(t("done"));
    }));
    return select;
  };
  const remove = (member) => button("remove", () => attempt(async () => {
    const stepUp = await confirmed("member.remove", store.id, { user_id: member.user_id });
    await ask("DELETE", `${path}/members/${member.user_id}`, undefined, stepUp);
    await again();
    tell(t("done"));
  }));
  const rows = members.map((member) => [
    element("span", {}, nameOf(member), member.user_id === me.id
      ? element("small", {}, ` ${t("you")}`) : ""),
    may(TEAM) ? change(member) : t(`role_${member.role}`),
    when(member.since, locale),
    may(TEAM) && member.user_id !== me.id ? remove(member) : "",
  ]);
  const parts = [card(null, table(["who", "role", "since", ""], rows, "none"))];
  if (may(TEAM)) parts.push(...await inviting(context, path));
  return parts;
}

const nameOf = ({ name, wallet, user_id: id }) =>
  name || (wallet ? `${wallet.slice(0, 8)}…${wallet.slice(-4)}` : id);

async function inviting({ store, attempt, again, tell }, path) {
  const { invitations } = await get(`${path}/invitations`);
  const place = element("div", {});
  const role = element("select", { name: "role" }, ...ROLES.map((one) =>
    element("option", { value: one }, t(`role_${one}`))));
  const rows = invitations.map((row) => [t(`role_${row.role}`), when(row.expires_at, locale),
    button("withdraw", () => attempt(async () => {
      await ask("DELETE", `${path}/invitations/${row.id}`);
      await again();
      tell(t("done"));
    }))]);
  return [card("invite", form("invite_make", [field("role", role)],
    ({ role: wanted }) => attempt(async () => {
      const stepUp = await confirmed("invitation.create", store.id, { role: wanted });
      const made = await ask("POST", `${path}/invitations`, { role: wanted }, stepUp);
      place.replaceChildren(shownOnce("invitation_told", made.url));
    })), place,
  table(["role", "ends", ""], rows, "no_invitations"))];
}

export async function log({ store }) {
  const list = element("div", {});
  const more = button("more", () => load());
  const rows = [];
  let next = null;
  async function load() {
    const from = next ? `?before=${next}` : "";
    const page = await get(`/v1/stores/${store.id}/audit-log${from}`);
    rows.push(...page.rows);
    next = page.next;
    more.hidden = next === null;
    list.replaceChildren(logTable(rows));
  }
  await load();
  return [card(null, list, more)];
}

export function logTable(rows) {
  return table(["time", "who", "from", "what", "subject"], rows.map((row) => [
    when(row.at, locale), row.user_id || t("by_itself"), row.network || "–", row.kind,
    code(row.subject)]), "no_log");
}
