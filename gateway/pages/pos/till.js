// A till: a clerk types an amount, the customer pays on the checkout page that opens.
// Its key comes in the link's fragment, which no server and no log sees, is kept for this tab alone
// and taken out of the address at once. It may make invoices and nothing else: the server says so.

const KEPT = "tillbook-till";
const FIELDS = ["key", "currency", "token"];
const form = document.getElementById("till");
const told = document.getElementById("told");
const { noKey, badKey, strongKey, badAmount, failed, lang } = document.body.dataset;
let busy = false;

function settings() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("key")) {
    const kept = Object.fromEntries(FIELDS.map((name) => [name, given.get(name) ?? ""]));
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  }
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
}

const kept = settings();
const currency = kept?.currency || "USD";
document.getElementById("currency").textContent = currency;
form.hidden = !kept;
if (kept) document.getElementById("sum").focus();
else told.textContent = noKey;

// As it is typed in any language: a comma or a point before the cents. Three places behind it
// would be thousands for some and a thousandth for others, and are neither here.
function amountOf(text) {
  const plain = text.trim().replace(",", ".");
  return /^\d{1,12}(\.\d{1,2})?$/.test(plain) ? plain : "";
}

async function sell(amount, note) {
  const answer = await fetch("/v1/till-sales", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${kept.key}` },
    body: JSON.stringify({
      amount, currency, order_id: note, tokens: kept.token ? [kept.token] : [],
    }),
  });
  if (answer.status === 401) throw new Error(badKey);
  if (answer.status === 403) throw new Error(strongKey);
  const said = await answer.json();
  if (!answer.ok) throw new Error(failed.replace("{reason}", said.detail ?? answer.status));
  return new URL(said.checkout_url).pathname;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  const amount = amountOf(form.elements.sum.value);
  if (!amount || !/[1-9]/.test(amount)) { told.textContent = badAmount; return; }
  busy = document.getElementById("sell").disabled = true;
  try {
    location.assign(`${await sell(amount, form.elements.note.value)}?lang=${lang}`);
  } catch (error) {
    told.textContent = error.message;
  } finally {
    busy = document.getElementById("sell").disabled = false;
  }
});
