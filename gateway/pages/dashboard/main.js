// Who is here, and which part of his shop does he look at?

import { byId, element } from "../market/elements.js";
import { demoProvider } from "../market/wallet.js";
import {
  ask, Cancelled, get, Refused, signedByPasskey, signedByWallet, unhex, walletsBy, workIn,
} from "./asking.js";
import { keys } from "./keys.js";
import { points } from "./points.js";
import { refunds } from "./refunds.js";
import { reports } from "./reports.js";
import { rules } from "./rules.js";
import { authorize } from "./authorize.js";
import { conversions, exceptions, invoices, today } from "./sales.js";
import { account } from "./security.js";
import { settings } from "./settings.js";
import { grants, log, payouts, team } from "./shop.js";
import { webhooks } from "./webhooks.js";
import { language, otherLanguage, t, translate } from "./words.js";

// Which parts there are, and the permissions of which each takes one.
const SECTIONS = {
  today: [today, "btcpay.store.canviewinvoices"],
  invoices: [invoices, "btcpay.store.canviewinvoices"],
  exceptions: [exceptions, "btcpay.store.canviewinvoices"],
  conversions: [conversions, "btcpay.store.canviewinvoices"],
  refunds: [refunds, "btcpay.store.cancreatenonapprovedpullpayments",
    "btcpay.store.canviewpullpayments"],
  points: [points, "btcpay.store.canviewstoresettings"],
  settings: [settings, "btcpay.store.canviewstoresettings"],
  rules: [rules, "btcpay.store.canviewstoresettings"],
  payouts: [payouts, "btcpay.store.canviewstoresettings"],
  grants: [grants, "btcpay.store.canviewstoresettings"],
  webhooks: [webhooks, "btcpay.store.webhooks.canmodifywebhooks"],
  keys: [keys, "btcpay.store.canmodifystoresettings"],
  reports: [reports, "btcpay.store.canviewreports"],
  team: [team, ""],
  log: [log, "btcpay.store.canviewstoresettings"],
  account: [account, null],
};

// What an application asks for, on the one page where it does; then that is all there is.
const { asks } = document.body.dataset;
if (asks) {
  for (const name of Object.keys(SECTIONS)) delete SECTIONS[name];
  SECTIONS.authorize = [authorize, ""];
}

const here = { me: null, store: null, invitation: "", turn: 0 };
const found = new Map();

// -- What is told -----------------------------------------------------------------------------

function tell(text, isBad = false) {
  const told = byId("told");
  told.textContent = text;
  told.classList.toggle("bad", isBad);
}

// Do something that may be refused; say why it was.
async function attempt(work) {
  tell("");
  try {
    await work();
  } catch (error) {
    if (error instanceof Cancelled) return tell(t("nothing_done"));
    if (error instanceof Refused && error.status === 401 && here.me) return begin();
    if (error.code === 4001 || error.name === "NotAllowedError") return tell(t("declined"), true);
    tell(error.message || String(error), true);
  }
}

// -- Signing in -------------------------------------------------------------------------------

function listWallets() {
  const choices = [...found.values()];
  if (document.body.dataset.sandbox === "yes") {
    choices.push({ info: { name: t("demo_wallet") }, provider: demoProvider() });
  }
  byId("no-wallet").hidden = choices.length > 0;
  byId("wallets").replaceChildren(...choices.map(({ info, provider }) => element("li", {},
    element("button", { type: "button", onclick: () => attempt(() => byWallet(provider)) },
      info.name))));
}

addEventListener("eip6963:announceProvider", ({ detail }) => {
  if (typeof detail?.provider?.request !== "function") return;
  found.set(detail.info.uuid, detail);
  listWallets();
});

// The wallet of an account, wherever it is: asked for where this tab does not know it yet.
async function walletOf(wanted) {
  const providers = [...found.values()].map(({ provider }) => provider);
  if (document.body.dataset.sandbox === "yes") providers.push(demoProvider());
  for (const provider of providers) {
    const accounts = await provider.request({ method: "eth_requestAccounts" });
    const account = accounts.find((one) => one.toLowerCase() === wanted.toLowerCase());
    if (account) return { provider, account };
  }
  throw new Error(t("wallet_missing", { wallet: wanted }));
}
walletsBy(walletOf);

async function byWallet(provider) {
  const [address] = await provider.request({ method: "eth_requestAccounts" });
  const terms = await get(`/v1/people/nonce?wallet=${address}`);
  const message = [
    `${terms.domain} wants you to sign in with your Ethereum account:`, terms.wallet, "", "",
    `URI: ${terms.uri}`, `Version: ${terms.version}`, `Chain ID: ${terms.chain_id}`,
    `Nonce: ${terms.nonce}`, `Issued At: ${new Date().toISOString()}`,
    "Resources:", `- ${terms.resource}`,
  ].join("\n");
  const signature = await signedByWallet(provider, address, message);
  const { invitation } = here;
  await ask("POST", "/v1/people/sessions/wallet", { message, signature, invitation });
  await entered();
}

async function byPasskey() {
  const { nonce, rp_id: rpId } = await get("/v1/people/nonce");
  const credential = await signedByPasskey(unhex(nonce), rpId);
  await ask("POST", "/v1/people/sessions/passkey", { nonce, credential });
  if (here.invitation) {
    await ask("POST", "/v1/people/invitations/acceptance", { token: here.invitation });
  }
  await entered();
}

async function byCode(form) {
  const { wallet, code } = Object.fromEntries(new FormData(form));
  await ask("POST", "/v1/people/sessions/recovery", { wallet: wallet.trim(), code });
  form.reset();
  location.hash = "account";
  await entered();
}

async function entered() {
  here.invitation = "";
  if (location.hash.startsWith("#invitation=")) history.replaceState(null, "", "#today");
  await begin();
}

// -- The page ---------------------------------------------------------------------------------

async function begin() {
  here.me = null;
  const { signed_in: isKnown } = await get("/v1/people/sessions/this");
  if (isKnown) here.me = await get("/v1/people/me");
  const isIn = here.me !== null;
  byId("door").hidden = isIn;
  byId("leave").hidden = !isIn;
  byId("sections").hidden = !isIn || Boolean(asks);
  byId("shown").replaceChildren();
  byId("invited").hidden = !here.invitation;
  if (!isIn) {
    byId("stores").hidden = true;
    listWallets();
    return;
  }
  chooseStore((asks && JSON.parse(asks).store) || sessionStorage.getItem("tillbook-store"));
  await show();
}

function chooseStore(wanted) {
  const { stores } = here.me;
  here.store = stores.find(({ id }) => id === wanted) ?? stores[0] ?? null;
  workIn(here.store?.id ?? "");
  byId("stores").hidden = stores.length === 0;
  byId("store").replaceChildren(...stores.map(({ id, name, role }) => element("option",
    { value: id, selected: id === here.store?.id },
    `${name || id.slice(0, 12)} · ${t(`role_${role}`)}`)));
}

const may = (scope) => here.store?.scopes.includes(scope) ?? false;

function allowed(name) {
  const scopes = SECTIONS[name].slice(1);
  if (scopes[0] === null) return true;
  return here.store !== null && scopes.some((scope) => scope === "" || may(scope));
}

// Show the part that the address names; what was asked for before and comes late is not shown.
async function show() {
  const names = Object.keys(SECTIONS).filter(allowed);
  const wanted = location.hash.slice(1);
  const name = names.includes(wanted) ? wanted : names[0];
  byId("sections").replaceChildren(...names.map((one) => element("a",
    { href: `#${one}`, ...(one === name ? { "aria-current": "page" } : {}) },
    t(`section_${one}`))));
  document.title = `${t(`section_${name}`)} · Tillbook`;
  byId("sections").querySelector("[aria-current]")?.scrollIntoView(
    { block: "nearest", inline: "center" });
  here.turn += 1;
  const { turn } = here;
  const shown = byId("shown");
  delete shown.dataset.section;
  shown.setAttribute("aria-busy", "true");
  shown.replaceChildren(element("h1", { id: "heading", tabIndex: -1 }, t(`section_${name}`)));
  await attempt(async () => {
    const again = () => show();
    const context = { me: here.me, store: here.store, may, attempt, again, tell, begin, walletOf };
    const nodes = await SECTIONS[name][0](context);
    if (turn !== here.turn) return;
    shown.append(...nodes);
    shown.dataset.section = name;
  });
  if (turn === here.turn) shown.removeAttribute("aria-busy");
}

function start() {
  translate(document);
  const other = byId("language");
  other.hidden = false;
  other.textContent = otherLanguage.name;
  other.lang = otherLanguage.code;
  const query = new URLSearchParams(location.search);
  query.set("lang", otherLanguage.code);
  other.href = `?${query}`;
  document.documentElement.lang = language;
  const invitation = /^#invitation=(tbi_[\w-]+)$/.exec(location.hash);
  if (invitation) [, here.invitation] = invitation;
  if (location.hostname === "127.0.0.1") {
    byId("by-passkey").hidden = true;
    byId("use-a-name").hidden = false;
    const { protocol, port, pathname, search } = location;
    const url = `${protocol}//localhost:${port}${pathname}${search}`;
    byId("use-a-name").textContent = t("use_a_name", { url });
  }
  byId("by-passkey").addEventListener("click", () => attempt(byPasskey));
  byId("recover").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => byCode(event.target));
  });
  byId("leave").addEventListener("click", () => attempt(async () => {
    await ask("DELETE", "/v1/people/sessions/this");
    await begin();
  }));
  byId("store").addEventListener("change", ({ target }) => {
    sessionStorage.setItem("tillbook-store", target.value);
    chooseStore(target.value);
    show();
  });
  addEventListener("hashchange", () => { if (here.me) show(); });
  dispatchEvent(new Event("eip6963:requestProvider"));
  attempt(begin);
}

start();
