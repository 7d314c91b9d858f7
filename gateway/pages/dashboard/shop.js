// Where does a shop's money go, who works there, and what was done?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { short, when } from "./numbers.js";
import { button, card, facts, field, form, shownOnce, state, table } from "./parts.js";
import { locale, t } from "./words.js";

const ROLES = ["clerk", "accountant", "manager", "owner"];
const PAYOUT = "tillbook.store.canchangepayout";
const TEAM = "tillbook.store.canmanageteam";

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
    when(row.at, locale), row.user_id || t("by_itself"), row.network || "–",
    row.times > 1 ? `${row.kind} × ${row.times}` : row.kind,
    code(row.subject)]), "no_log");
}
