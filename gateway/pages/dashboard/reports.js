// How does an accountant take the books with him? Whole files, put together from the API's pages.

import { element } from "../market/elements.js";
import { fetched, get } from "./asking.js";
import { card, field, table } from "./parts.js";
import { t } from "./words.js";

const REPORTS = ["payments", "conversions", "refunds", "payouts", "fees", "settlement",
  "reconciliation"];
const PAGES_MAX = 200;
const TYPES = { csv: "text/csv", json: "application/json" };

export async function reports({ store, attempt, tell }) {
  const form = element("form", { className: "filters" });
  form.addEventListener("submit", (event) => event.preventDefault());
  const date = (name) => element("input", { name, type: "date" });
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const zones = [...new Set(["UTC", own])];
  form.append(field("from_day", date("from")), field("until_day", date("to")),
    field("zone", element("select", { name: "zone" }, ...zones.map((zone) =>
      element("option", { value: zone }, zone)))),
    field("lots", element("select", { name: "lots" }, ...["fifo", "invoice", "chosen"].map((one) =>
      element("option", { value: one }, t(`lots_${one}`))))));
  const load = (kind, format) => attempt(async () => {
    const query = new URLSearchParams({ format });
    for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
    const path = `/v1/stores/${store.id}/reports/${kind}?${query}`;
    const { text, isWhole } = await whole(path, format);
    save(`${kind}.${format}`, text, TYPES[format]);
    tell(t(isWhole ? "report_saved" : "report_cut", { name: `${kind}.${format}` }), !isWhole);
  });
  const offered = (kind, format) => element("button", { type: "button", className: "small",
    ariaLabel: `${t(`report_${kind}`)}, ${format.toUpperCase()}`,
    onclick: () => load(kind, format) }, format.toUpperCase());
  return [card(null, element("p", { className: "note" }, t("reports_told")), form,
    table(["report", "download"], REPORTS.map((kind) => [t(`report_${kind}`),
      element("span", { className: "buttons" }, offered(kind, "csv"), offered(kind, "json"))]),
    "none"))];
}

// All pages of a report as one text: those of CSV one behind the other, of JSON their rows.
async function whole(path, format) {
  const parts = [];
  let cursor = "";
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const from = cursor ? `${path}&cursor=${encodeURIComponent(cursor)}` : path;
    if (format === "csv") {
      const answer = await fetched(from);
      parts.push(await answer.text());
      cursor = answer.headers.get("x-next-cursor") ?? "";
    } else {
      const told = await get(from);
      parts.push(...told.rows);
      cursor = told.next ?? "";
    }
    if (!cursor) break;
  }
  const text = format === "csv" ? parts.join("") : JSON.stringify({ rows: parts }, null, 1);
  return { text, isWhole: !cursor };
}

function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
