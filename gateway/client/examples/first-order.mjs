// A first order from JavaScript: node first-order.mjs [URL] [KEY]. Needs `npm install viem`.
// The key signs here; the exchange gets the signed order and can do nothing else with it.
import { privateKeyToAccount } from "viem/accounts";

const url = process.argv[2] ?? "http://127.0.0.1:8787";
// A public key of the sandbox that `make run` starts; it has money in the vault.
const key = process.argv[3] ?? "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba";
const wallet = privateKeyToAccount(key);

async function ask(path, body) {
  const answer = await fetch(url + path, body && { method: "POST", body: JSON.stringify(body) });
  const document = await answer.json();
  if (!answer.ok) throw new Error(`${document.outcome}: ${document.detail}`);
  return document;
}

const config = await ask("/v1/config");
const { markets: [market] } = await ask("/v1/markets");
const { single_shot: nonce } = await ask(`/v1/nonces/${wallet.address}`);

// "Order(address account,uint64 nonce,...)": the exchange says which fields it signs.
const fields = config.types.Order.slice("Order(".length, -1).split(",");
const named = fields.map((field) => field.split(" "));
const types = { Order: named.map(([type, name]) => ({ type, name })) };

const PIPS = 10n ** 8n; // A token has 10^8 pips; whole numbers only, a float loses some.
const base = PIPS / 10n; // 0.1 TOKEN
const quote = (base * 2600n * PIPS) / PIPS; // at 2,600 USD or better

const order = {
  account: wallet.address,
  nonce,
  flags: 2, // Buy, single shot: immediate or cancel.
  lane: 0,
  base: market.base.address,
  quote: market.quote.address,
  baseAmount: base.toString(),
  quoteAmount: quote.toString(),
  triggerOrDisplay: "0",
  expiry: Math.floor(Date.now() / 1000) + 60,
  maxFeePpm: market.taker_fee_ppm,
  ref: "0x" + "00".repeat(32),
};
const domain = { ...config.domain, chainId: BigInt(config.domain.chainId) };
const typed = { domain, types, primaryType: "Order", message: order };
const signature = await wallet.signTypedData(typed);

const placed = await ask("/v1/orders", { ...order, signature });
for (const fill of placed.fills) console.log(`bought ${fill.quantity} at ${fill.price}`);
console.log(`order ${placed.order_id}: ${placed.ended ?? "rests"}`);
