// What keeps the market page alive: one WebSocket, three tables and a form that signs.
// Prices and quantities arrive as text and stay text; whatever is computed is computed on BigInt.

const market = document.body.dataset.market;
const levelsShown = Number(document.body.dataset.levels);
const tradesShown = Number(document.body.dataset.trades);
const byId = (id) => document.getElementById(id);

// --- The book -----------------------------------------------------------------------------

const book = { u: 0, bids: new Map(), asks: new Map() };
let steps = null;

function takeLevels(frame) {
  for (const side of ["bids", "asks"]) {
    if (frame.type === "snapshot") book[side].clear();
    for (const level of frame[side]) {
      if (level.lots) book[side].set(level.price_ticks, level);
      else book[side].delete(level.price_ticks);
    }
  }
  book.u = frame.u;
}

function best(side) {
  const sign = side === "bids" ? -1 : 1;
  return [...book[side].values()]
    .sort((a, b) => sign * (a.price_ticks - b.price_ticks))
    .slice(0, levelsShown);
}

function drawBook() {
  const bids = best("bids"), asks = best("asks");
  const deepest = Math.max(1, ...bids.map((l) => l.lots), ...asks.map((l) => l.lots));
  drawLevels(byId("asks"), [...asks].reverse(), deepest, "No offers");
  drawLevels(byId("bids"), bids, deepest, "No bids");
  setText("best-bid", bids[0]?.price);
  setText("best-ask", asks[0]?.price);
  const spread = bids.length && asks.length && steps
    ? decimal(BigInt(asks[0].price_ticks - bids[0].price_ticks) * steps.tickSize, steps.pricePlaces)
    : undefined;
  setText("spread", spread);
  setText("spread-row", spread);
}

function drawLevels(body, levels, deepest, none) {
  if (!levels.length) return body.replaceChildren(emptyRow(2, none));
  if (body.querySelector(".empty")) body.replaceChildren();
  while (body.rows.length > levels.length) body.deleteRow(-1);
  while (body.rows.length < levels.length) body.append(levelRow());
  levels.forEach((level, n) => {
    const [price, quantity] = body.rows[n].cells;
    price.querySelector("rect").setAttribute("width", Math.floor((level.lots * 100) / deepest));
    if (price.lastChild.data !== level.price) price.lastChild.data = level.price;
    if (quantity.textContent !== level.quantity) quantity.textContent = level.quantity;
  });
}

function levelRow() {
  const row = document.createElement("tr"), price = row.insertCell();
  const ns = "http://www.w3.org/2000/svg";
  const bar = document.createElementNS(ns, "svg"), rect = document.createElementNS(ns, "rect");
  bar.setAttribute("class", "bar");
  bar.setAttribute("viewBox", "0 0 100 1");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  rect.setAttribute("height", "1");
  bar.append(rect);
  price.append(bar, document.createTextNode(""));
  row.insertCell();
  return row;
}

// --- Trades and batches -------------------------------------------------------------------

function takeTrades(frame) {
  const body = byId("trades");
  if (frame.type === "settlement") return settle(frame);
  if (frame.type === "trade_busted") return bust(frame);
  const fresh = frame.type === "trades";
  const rows = frame.trades.map((trade) => tradeRow(trade, fresh));
  if (fresh) {
    body.querySelector(".empty")?.remove();
    body.prepend(...rows.reverse());
    setText("last", frame.trades.at(-1).price);
    soon(refreshVolume);
  } else {
    body.replaceChildren(...(rows.length ? rows : [emptyRow(5, "No trades yet")]));
  }
  while (body.rows.length > tradesShown) body.deleteRow(-1);
}

function tradeRow(trade, fresh) {
  const row = document.createElement("tr");
  row.dataset.trade = trade.trade_id;
  if (fresh) row.className = "fresh";
  cell(row, trade.trade_id);
  cell(row, trade.price).className = trade.side;
  cell(row, trade.quantity);
  row.insertCell();
  row.insertCell();
  showState(row, trade.settlement);
  return row;
}

function showState(row, settlement) {
  row.cells[3].replaceChildren(stateChip(settlement.state));
  row.cells[4].replaceChildren();
  if (settlement.batch === null) return;
  row.cells[4].append(`#${settlement.batch} `, shortHash(settlement.tx_hash));
}

function settle(frame) {
  for (const row of byId("trades").querySelectorAll("tr[data-trade]")) {
    const id = Number(row.dataset.trade);
    if (frame.busted.includes(id)) continue;
    if (id >= frame.first_trade && id <= frame.last_trade) showState(row, frame);
  }
  soon(refreshBatches);
}

function bust(frame) {
  const row = byId("trades").querySelector(`tr[data-trade="${frame.trade_id}"]`);
  if (row) showState(row, { state: "busted", batch: null });
  soon(refreshVolume);
}

async function refreshBatches() {
  const { batches } = await ask("/v1/settlement/batches?limit=8");
  const rows = batches.map((batch) => {
    const row = document.createElement("tr");
    cell(row, batch.batch);
    const { first_trade: first, last_trade: last } = batch;
    cell(row, last < first ? "none" : first === last ? `#${first}` : `#${first}–${last}`);
    row.insertCell().append(stateChip(batch.state));
    row.insertCell().append(shortHash(batch.tx_hash));
    return row;
  });
  byId("batches").replaceChildren(...(rows.length ? rows : [emptyRow(4, "No batch yet")]));
}

async function refreshVolume() {
  const row = await marketRow();
  setText("volume", row.ticker.volume_24h);
  setText("last", row.ticker.last ?? "–");
}

// --- Small parts --------------------------------------------------------------------------

function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== (text ?? "–")) element.textContent = text ?? "–";
}

function cell(row, text) {
  const made = row.insertCell();
  made.textContent = text;
  return made;
}

function emptyRow(columns, text) {
  const row = document.createElement("tr");
  row.className = "empty";
  cell(row, text).colSpan = columns;
  return row;
}

function stateChip(state) {
  const chip = document.createElement("span");
  chip.className = `state ${state}`;
  chip.textContent = state;
  return chip;
}

function shortHash(hash) {
  if (!hash) return "";
  const code = document.createElement("code");
  code.title = hash;
  code.textContent = `${hash.slice(0, 6)}…${hash.slice(-4)}`;
  return code;
}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return told;
}

async function marketRow() {
  const { markets } = await ask("/v1/markets");
  return markets.find((row) => row.symbol === market);
}

// Many frames, few requests: each of these runs at most once in 400 ms.
const waiting = new Set();
function soon(work) {
  if (waiting.has(work)) return;
  waiting.add(work);
  setTimeout(() => { waiting.delete(work); work().catch(() => {}); }, 400);
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawBook(); });
}

// --- The stream ---------------------------------------------------------------------------

const link = byId("link");
function showLink(text, kind) {
  link.textContent = text;
  link.className = `link ${kind}`;
}

let attempts = 0;
function listen() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/v1/stream`);
  const subscribe = (channel) => socket.send(JSON.stringify({ op: "subscribe", channel }));
  socket.onopen = () => {
    attempts = 0;
    subscribe(`book:${market}`);
    subscribe(`trades:${market}`);
    soon(refreshBatches);
  };
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.channel === `trades:${market}`) takeTrades(frame);
    if (frame.channel !== `book:${market}`) return;
    if (frame.type === "diff" && frame.prev !== book.u) return subscribe(frame.channel);
    takeLevels(frame);
    drawSoon();
    showLink("live", "live");
  };
  socket.onclose = () => {
    showLink("reconnecting", "lost");
    attempts += 1;
    setTimeout(listen, Math.min(15000, 500 * 2 ** attempts));
  };
}

// --- Signing ------------------------------------------------------------------------------

const SELL = 1, SINGLE_SHOT = 2;
const LANE_MIN = 0x8000, LANE_COUNT = 0x8000;
const EXPIRY_SECONDS = 600;

let wallet = null;
let account = null;
addEventListener("eip6963:announceProvider", (event) => { wallet ??= event.detail.provider; });

function pips(text) {
  const match = /^(\d{1,10})(?:[.,](\d{1,8}))?$/.exec(text.trim());
  if (!match) throw new Error(`"${text}" is not a number with at most 8 decimals`);
  return BigInt(match[1]) * 10n ** 8n + BigInt((match[2] ?? "").padEnd(8, "0"));
}

function decimal(amount, places) {
  const text = amount.toString().padStart(9, "0");
  const whole = text.slice(0, -8), rest = text.slice(-8, text.length - 8 + places);
  return places ? `${whole}.${rest}` : whole;
}

function whole(amount, step, what) {
  if (amount <= 0n || amount % step) {
    throw new Error(`${what} must be a multiple of ${decimal(step, 8)}`);
  }
  return amount / step;
}

function typedFields(text) {
  return text.slice(text.indexOf("(") + 1, -1).split(",").map((field) => {
    const [type, name] = field.split(" ");
    return { name, type };
  });
}

async function connectWallet() {
  wallet ??= window.ethereum;
  if (!wallet) throw new Error("No wallet was found in this browser");
  [account] = await wallet.request({ method: "eth_requestAccounts" });
  byId("sign").textContent = `Sign as ${account.slice(0, 6)}…${account.slice(-4)}`;
}

async function orderOf(form, row) {
  const lots = whole(pips(form.get("quantity")), BigInt(row.lot_pips), "Quantity");
  const ticks = whole(pips(form.get("price")), steps.tickSize, "Price");
  const rests = form.get("rest") !== null;
  const lane = rests ? LANE_MIN + Math.floor(Math.random() * LANE_COUNT) : 0;
  const nonces = await ask(`/v1/nonces/${account}${rests ? `?lane=${lane}` : ""}`);
  return {
    account: account.toLowerCase(),
    nonce: rests ? nonces.lanes[0].nonce : nonces.single_shot,
    flags: (form.get("side") === "sell" ? SELL : 0) | (rests ? 0 : SINGLE_SHOT),
    lane,
    base: row.base.address,
    quote: row.quote.address,
    baseAmount: String(lots * BigInt(row.lot_pips)),
    quoteAmount: String(lots * ticks * BigInt(row.tick_pips)),
    triggerOrDisplay: "0",
    expiry: 0,
    maxFeePpm: Math.max(row.taker_fee_ppm, row.maker_fee_ppm),
    ref: `0x${"0".repeat(64)}`,
  };
}

async function signAndPlace(form) {
  const [config, row] = await Promise.all([ask("/v1/config"), marketRow()]);
  const message = await orderOf(form, row);
  message.expiry = Number(BigInt(config.time_ns) / 10n ** 9n) + EXPIRY_SECONDS;
  const typed = {
    domain: config.domain,
    primaryType: "Order",
    types: {
      EIP712Domain: typedFields(config.types.EIP712Domain),
      Order: typedFields(config.types.Order),
    },
    message,
  };
  const signature = await wallet.request({
    method: "eth_signTypedData_v4",
    params: [account, JSON.stringify(typed)],
  });
  return ask("/v1/orders", { ...message, signature });
}

function tell(text, kind) {
  const told = byId("told");
  told.textContent = text;
  told.className = kind;
}

async function submitted(event) {
  event.preventDefault();
  const button = byId("sign");
  button.disabled = true;
  tell("", "");
  try {
    if (account === null) await connectWallet();
    else {
      const placed = await signAndPlace(new FormData(byId("form")));
      const fills = placed.fills?.length ?? 0;
      const rest = placed.resting_lots ? "the rest stands in the book" : "nothing rests";
      tell(`Taken as ${placed.order_id}: ${fills} fills, ${rest}.`, "good");
    }
  } catch (error) {
    tell(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

function places(step) {
  return decimal(step, 8).replace(/0+$/, "").split(".")[1].length;
}

async function begin() {
  const row = await marketRow();
  const tickSize = pips(row.tick_size);
  steps = { tickSize, pricePlaces: places(tickSize) };
  byId("form").hidden = false;
  byId("form").addEventListener("submit", submitted);
  dispatchEvent(new Event("eip6963:requestProvider"));
  listen();
}

begin();
