// What keeps the market page alive? Everything is made and tied together here, and nothing else is.

import { grouped, pipsOf, placesOf } from "./amounts.js";
import { Account } from "./account.js";
import { Api } from "./api.js";
import { BookView } from "./book.js";
import { Book } from "./book_levels.js";
import { DepthChart } from "./depth.js";
import { byId, element, setText, shortHash } from "./elements.js";
import { Funds } from "./funds.js";
import { Terms } from "./order_terms.js";
import { Session } from "./session.js";
import { Stream } from "./stream.js";
import { Tape, showFigures } from "./tape.js";
import { Ticket } from "./ticket.js";
import { linker } from "./transaction.js";
import { Wallets } from "./wallet.js";
import { errorWords, language, t, translate } from "./words.js";

const { market, levels, trades, explorer } = document.body.dataset;
const sandbox = document.body.dataset.sandbox === "yes";

translate(document);
const otherLanguage = byId("language");
const address = new URL(location.href);
address.searchParams.set("lang", language === "zh" ? "en" : "zh");
otherLanguage.href = address.href;
otherLanguage.hidden = false;

function tell(text, kind = "") {
  const told = byId("told");
  setText(told, text);
  told.className = kind;
}

function fails(error) {
  const isShort = error.word === "not_enough" || error.outcome === "INSUFFICIENT_BALANCE";
  tell(errorWords(error) + (isShort && sandbox ? ` ${t("not_enough_sandbox")}` : ""), "bad");
}

// --- What everybody sees -------------------------------------------------------------------

function follow({ api, stream, terms, book, view, depth, tape, ticket }) {
  const name = `book:${market}`;
  stream.follow(name, (frame) => {
    if (!book.take(frame)) return stream.again(name);
    for (const each of [view, depth, ticket]) each.drawSoon();
    showLink("live");
    return undefined;
  });
  stream.follow(`trades:${market}`, (frame) => tape.take(frame));
  stream.follow(`ticker:${market}`, (frame) => showFigures(frame.ticker ?? frame));
  tape.onLast = ({ price, price_ticks: ticks }) => {
    setText(byId("last"), grouped(price));
    document.title = `${grouped(price)} · ${terms.symbol} · Tillbook`;
    ticket.suggest(BigInt(ticks));
  };
  stream.addEventListener("open", async () => {
    try {
      const { batches } = await api.get("/v1/settlement/batches?limit=8");
      tape.takeBatches(batches);
    } catch {
      // What is there stays, and the next frame brings what is new.
    }
  });
  stream.addEventListener("lost", () => {
    book.lose();
    showLink("reconnecting");
    ticket.drawSoon();
  });
  stream.open();
}

function showLink(state) {
  const link = byId("link");
  setText(link, t(state));
  link.className = `link ${state}`;
}

function chartTabs(depth) {
  const show = (which) => {
    for (const name of ["price", "depth"]) {
      byId(`show-${name}`).setAttribute("aria-pressed", String(name === which));
      byId(`${name}-view`).hidden = name !== which;
    }
    byId("intervals").hidden = which !== "price";
    depth.drawSoon();
  };
  byId("show-price").addEventListener("click", () => show("price"));
  byId("show-depth").addEventListener("click", () => show("depth"));
}

// --- Who is here ---------------------------------------------------------------------------

function walletDialog(wallets, session, now) {
  const dialog = byId("wallets");
  const draw = () => {
    const choices = wallets.list.map((wallet) => choiceOf(wallet, async () => {
      dialog.close();
      try {
        await wallets.connect(wallet);
        if (wallets.isOnChain && !session.isOpen) await session.logIn(await now());
      } catch (error) {
        fails(error);
      }
    }));
    byId("wallet-list").replaceChildren(
      ...(choices.length ? choices : [element("li", {}, t("no_wallet"))]));
  };
  wallets.addEventListener("change", draw);
  return () => { draw(); dialog.showModal(); };
}

function choiceOf({ id, name, icon }, choose) {
  const isDemo = id === "demo";
  const label = name || t(isDemo ? "demo_wallet" : "injected_wallet");
  const button = element("button", { type: "button", className: "choice", onclick: choose },
    icon ? element("img", { src: icon, alt: "", width: 28, height: 28 })
      : element("span", { className: "dot", "aria-hidden": "true" }),
    element("span", {}, label, isDemo ? element("small", {}, t("demo_wallet_note")) : ""));
  return element("li", {}, button);
}

function showWallet(wallets) {
  const { account, isOnChain } = wallets;
  setText(byId("connect"), account === null ? t("connect") : shortHash(account));
  byId("connect").className = account === null ? "act small" : "small";
  byId("connect").title = account ?? "";
  byId("chain-warning").hidden = account === null || isOnChain;
}

// --- Keys ----------------------------------------------------------------------------------

function keys(ticket) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches?.("input:not([type=radio]), select, textarea");
    if (event.key === "Escape") document.activeElement?.blur();
    if (isTyping) return;
    const side = { b: "buy", s: "sell" }[event.key.toLowerCase()];
    if (!side) return;
    event.preventDefault();
    ticket.choose(side);
    byId(byId("price-field").hidden ? "quantity" : "price").focus();
  });
}

// --- All of it -----------------------------------------------------------------------------

async function begin() {
  const api = new Api(), stream = new Stream();
  const [config, { markets }] = await Promise.all([api.get("/v1/config"), api.get("/v1/markets")]);
  const row = markets.find(({ symbol }) => symbol === market);
  const terms = new Terms(row, pipsOf);
  const link = linker({ explorer, sandbox });
  const wallets = new Wallets(config, sandbox);
  const session = new Session(api, wallets, stream);
  const account = new Account({ api, stream, session, link });
  const book = new Book();
  const tape = new Tape(Number(trades), link);
  const view = new BookView(book, terms, Number(levels));
  const depth = new DepthChart(book, terms);
  const ticket = new Ticket({ config, terms, book, tape, api, wallets, funds: account });
  const funds = new Funds({ api, config, wallets, session, account });
  const now = async () => Number(BigInt((await api.get("/v1/config")).time_ns) / 10n ** 9n);
  const choose = walletDialog(wallets, session, now);

  stream.addEventListener("refused", ({ detail }) => {
    if (detail.outcome === "NOT_AUTHENTICATED") session.forget();
  });
  showFigures(row.ticker);
  view.addEventListener("chosen", ({ detail }) => ticket.choose(detail.side, detail));
  account.addEventListener("change", () => ticket.drawSoon());
  wallets.addEventListener("change", () => { showWallet(wallets); ticket.drawSoon(); });
  showWallet(wallets);
  byId("connect").hidden = false;
  byId("connect").addEventListener("click", () => {
    if (wallets.account === null) choose();
    else byId("who").showModal();
    setText(byId("who-account"), wallets.account ?? "");
  });
  byId("disconnect").addEventListener("click", () => {
    byId("who").close();
    session.forget();
    wallets.disconnect();
  });
  byId("log-in").addEventListener("click", async () => {
    if (wallets.account === null) return choose();
    try {
      await session.logIn(await now());
    } catch (error) {
      fails(error);
    }
    return undefined;
  });
  byId("switch-chain").addEventListener("click", () => wallets.switchChain().catch(fails));
  for (const what of ["deposit", "withdraw"]) {
    byId(`open-${what}`).addEventListener("click", () =>
      (wallets.account === null ? choose() : funds.open(what)));
  }
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  ticket.addEventListener("submitted", () => submit({ ticket, wallets, choose }));
  chartTabs(depth);
  keys(ticket);
  follow({ api, stream, terms, book, view, depth, tape, ticket });
  // A wallet that says nothing now can be connected by hand.
  wallets.resume().catch(() => {});
  await showChart({ api, stream, terms });
}

// The largest file of all comes last: who came to trade need not wait for it.
async function showChart({ api, stream, terms }) {
  try {
    const { PriceChart } = await import("./chart.js");
    await new PriceChart(api, stream, terms, placesOf(terms.tickSize)).begin().catch((error) => {
  setText(byId("link"), errorWords(error));
  byId("link").className = "link reconnecting";
});
  } catch (error) {
    // All else works without it.
    setText(byId("chart-told"), errorWords(error));
  }
}

async function submit({ ticket, wallets, choose }) {
  const button = byId("sign");
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    if (wallets.account === null) choose();
    else if (!wallets.isOnChain) await wallets.switchChain();
    else {
      ticket.order();
      tell(t("signing"));
      tell(await ticket.place(), "good");
    }
  } catch (error) {
    fails(error);
    if (error.field) byId(error.field).focus();
  } finally {
    button.removeAttribute("aria-disabled");
    ticket.drawSoon();
  }
}

begin();
