// Where is a shop told of what happens, and do its endpoints take it?

import { element } from "../market/elements.js";
import { ask, confirmed, get } from "./asking.js";
import { when } from "./numbers.js";
import { button, card, field, form, shownOnce, state, table } from "./parts.js";
import { locale, t } from "./words.js";

export const EVENTS = [
  "invoice.created", "invoice.received_payment", "invoice.processing", "invoice.reopened",
  "invoice.settled", "invoice.paid_over", "invoice.short", "invoice.other_token",
  "invoice.expired", "invoice.requoted", "invoice.invalid", "invoice.reversed",
  "conversion.waiting",
  "conversion.filled", "conversion.batched", "conversion.final", "conversion.held",
  "conversion.busted", "refund.opened", "refund.approved", "refund.claimed",
  "refund.in_progress", "refund.waiting", "refund.completed", "refund.cancelled",
  "payout_change.asked", "payout_change.cancelled", "payout_change.done",
  "payout_change.refused", "api_key.made", "api_key.rotated", "api_key.revoked",
  "endpoint.made", "endpoint.changed", "endpoint.disabled", "refund_account.made",
  "refund_account.ended", "store.closed",
];
export const FORMATS = ["standard", "greenfield"];

const code = (text) => element("code", {}, text);

export async function webhooks(context) {
  const { store } = context;
  const path = `/v1/stores/${store.id}`;
  const [{ deliveries }, { webhooks: endpoints }] = await Promise.all([
    get(`${path}/webhook-deliveries`), get(`${path}/webhooks`)]);
  const place = element("div", {});
  return [card(null,
    table(["endpoint", "webhook_health", "last_answer", "taken", ""], endpoints.map((row) => [
      code(row.url),
      element("span", {}, state(row.enabled ? "live" : "dead",
        t(row.enabled ? "webhook_on" : "webhook_off")),
      row.why ? element("small", {}, ` ${row.why}`) : ""),
      lastAnswer(row),
      takenBy(row, deliveries),
      actions(context, path, row, place),
    ]), "no_endpoints"), place,
    element("p", { className: "note" }, t("secret_told"))),
  card("webhook_new", endpointForm("webhook_make", null, (wanted) => making(context, path, place,
    wanted))),
  card("deliveries", deliveriesTable(context, path, deliveries))];
}

function lastAnswer(row) {
  if (!row.last_answer_at) return "–";
  const isTaken = row.last_status >= 200 && row.last_status < 300;
  const said = row.last_status ? String(row.last_status) : row.last_error || "–";
  return element("span", {}, state(isTaken ? "delivered" : "retrying", said),
    element("small", {}, ` ${when(row.last_answer_at, locale)}`));
}

// How many of the newest deliveries it took, and how many still wait or were given up.
function takenBy(row, deliveries) {
  const its = deliveries.filter(({ endpoint_id: id }) => id === row.id);
  const count = (...wanted) => its.filter(({ status }) => wanted.includes(status)).length;
  return t("taken_of", { taken: count("delivered"), all: its.length,
    waiting: count("pending", "retrying"), dead: count("dead") });
}

function actions(context, path, row, place) {
  const { store, attempt, again, tell } = context;
  const at = `${path}/webhooks/${row.id}`;
  const ping = () => attempt(async () => {
    const told = await ask("POST", `${at}/ping`);
    tell(t("ping_answered", { answer: told.status || told.error }), told.status !== 200);
  });
  const renew = () => attempt(async () => {
    const stepUp = await confirmed("webhook-secret.rotate", store.id, { endpoint_id: row.id });
    const made = await ask("POST", `${at}/secret`, {}, stepUp);
    place.replaceChildren(shownOnce("shown_once", made.webhook_secret));
  });
  const remove = () => attempt(async () => {
    const stepUp = await confirmed("webhook.delete", store.id, { endpoint_id: row.id });
    await ask("DELETE", at, undefined, stepUp);
    await again();
    tell(t("done"));
  });
  const change = () => {
    place.replaceChildren(endpointForm("save", row, (wanted) => attempt(async () => {
      const named = { endpoint_id: row.id, ...wanted };
      const stepUp = await confirmed("webhook.change", store.id, named);
      await ask("PATCH", at, wanted, stepUp);
      await again();
      tell(t("done"));
    })));
    place.querySelector("input").focus();
  };
  return element("span", { className: "buttons" }, button("change", change),
    button("ping", ping), button("secret_new", renew), button("remove", remove));
}

function making({ store, attempt, again, tell }, path, place, wanted) {
  return attempt(async () => {
    const stepUp = await confirmed("webhook.create", store.id, wanted);
    const made = await ask("POST", `${path}/webhooks`, wanted, stepUp);
    await again();
    document.getElementById("shown").prepend(shownOnce("shown_once", made.secret));
    tell(t("done"));
  });
}

// An endpoint as it is to be; of a known one only what is to be another way.
function endpointForm(word, row, work) {
  const url = element("input", { name: "url", type: "url", required: true, maxLength: 2048,
    autocomplete: "off", value: row?.url ?? "" });
  const chosen = row?.event_types ?? [];
  const choices = EVENTS.map((name) => element("label", { className: "choice" },
    element("input", { type: "checkbox", name: "event_types", value: name,
      checked: chosen.includes(name) }), element("span", {}, name)));
  const types = element("details", {}, element("summary", {}, t("event_types")),
    element("p", { className: "note" }, t("event_types_told")),
    element("fieldset", {}, element("legend", {}, t("event_types")), ...choices));
  const format = element("select", { name: "format" }, ...FORMATS.map((one) =>
    element("option", { value: one, selected: one === row?.format }, t(`format_${one}`))));
  const enabled = element("label", { className: "choice" },
    element("input", { type: "checkbox", name: "enabled", checked: row?.enabled ?? true }),
    element("span", {}, t("webhook_on")));
  return form(word, [field("endpoint", url), field("format", format), types, enabled],
    (_, made) => {
      const given = new FormData(made);
      const wanted = { url: given.get("url").trim(), event_types: given.getAll("event_types"),
        format: given.get("format"), enabled: given.get("enabled") === "on" };
      work(row === null ? wanted : changed(row, wanted));
    });
}

function changed(row, wanted) {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) =>
    String(value) !== String(row[name])));
}

function deliveriesTable({ attempt, again, tell }, path, deliveries) {
  const repeat = (row) => (row.status === "pending" ? ""
    : button("redeliver", () => attempt(async () => {
      await ask("POST", `${path}/webhook-deliveries/${row.id}/redelivery`);
      await again();
      tell(t("redelivered"));
    })));
  return table(["what", "status", "attempts", "answer", ""], deliveries.map((row) => [
    row.type,
    state(row.status, t(`delivery_${row.status}`)),
    String(row.attempts),
    row.last_status ? String(row.last_status) : row.last_error || "–",
    repeat(row),
  ]), "no_deliveries");
}
