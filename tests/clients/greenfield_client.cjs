// What does an unmodified client of BTCPay's make of our answers?
//
// Each line that comes in names a service, a method and its arguments; the line that goes out is
// what the client returned, or what it threw.

const readline = require("node:readline");
const client = require("btcpay-greenfield-node-client");

client.OpenAPI.BASE = process.argv[2];
client.OpenAPI.TOKEN = process.argv[3];

async function ask({ service, method, args }) {
  try {
    return { body: await client[service][method](args) };
  } catch (error) {
    return { status: error.status ?? 0, body: error.body, error: String(error) };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await ask(JSON.parse(line)))}\n`);
  }
}

main();
