// Do the unmodified npm packages of x402 buy here, and sell through our facilitator?
//
// Called with what is to be done and with what; the one line that goes out is what was answered.

const { createServer } = require("node:http");
const axios = require("axios");
const express = require("express");
const { ExactEvmScheme: Buyer } = require("@x402/evm/exact/client");
const { ExactEvmScheme: Seller } = require("@x402/evm/exact/server");
const { HTTPFacilitatorClient } = require("@x402/core/server");
const { paymentMiddleware, x402ResourceServer } = require("@x402/express");
const forAxios = require("@x402/axios");
const forFetch = require("@x402/fetch");
const { privateKeyToAccount } = require("viem/accounts");

const [, , wanted, given] = process.argv;
const { secret, network, url, facilitator, key } = JSON.parse(given);

function client(packaged) {
  const made = new packaged.x402Client().register(network, new Buyer(privateKeyToAccount(secret)));
  // That it pays in tokens it has not heard of is its user's setting.
  made.setSpendControls?.(false);
  return made;
}

async function byFetch(address) {
  const paid = await forFetch.wrapFetchWithPayment(fetch, client(forFetch))(address);
  const settled = new forFetch.x402HTTPClient(client(forFetch))
    .getPaymentSettleResponse((name) => paid.headers.get(name));
  return { status: paid.status, body: await paid.text(), settled };
}

async function byAxios(address) {
  const paid = await forAxios.wrapAxiosWithPayment(axios.create(), client(forAxios)).get(address);
  const settled = new forAxios.x402HTTPClient(client(forAxios))
    .getPaymentSettleResponse((name) => paid.headers[name.toLowerCase()]);
  return { status: paid.status, body: paid.data, settled };
}

// A seller with the express middleware: each price is an offer of the exchange.
async function byExpress() {
  const headers = { authorization: `Bearer ${key}` };
  const told = async () => ({ verify: headers, settle: headers, supported: headers });
  let offered;
  const offer = () => {
    offered ??= fetch(`${facilitator}/offers`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ amount: "5", token: "TOKEN" }),
    }).then(async (answer) => (await answer.json()).requirements);
    return offered;
  };
  const server = new x402ResourceServer(
    new HTTPFacilitatorClient({ url: facilitator, createAuthHeaders: told }),
  ).register(network, new Seller());
  const app = express();
  app.use(paymentMiddleware({ "GET /report": { accepts: {
    scheme: "exact",
    network,
    payTo: async () => (await offer()).payTo,
    price: async () => {
      const { asset, amount, extra } = await offer();
      return { asset, amount, extra };
    },
  } } }, server));
  app.get("/report", (_, answer) => answer.send("the report"));
  const listening = createServer(app).listen(0, "127.0.0.1");
  await new Promise((ready) => { listening.once("listening", ready); });
  const address = `http://127.0.0.1:${listening.address().port}/report`;
  const unpaid = (await fetch(address)).status;
  const paid = await byFetch(address);
  listening.close();
  listening.closeAllConnections();
  return { unpaid, ...paid };
}

const ways = { fetch: () => byFetch(url), axios: () => byAxios(url), express: byExpress };
ways[wanted]().then(
  (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`),
  (fault) => { process.stderr.write(`${fault.stack}\n`); process.exitCode = 1; },
);
