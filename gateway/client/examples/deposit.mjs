// Money in, from JavaScript: node deposit.mjs URL RPC KEY TOKEN AMOUNT [mint]. Needs viem from npm.
// approve, then Exchange.deposit: two transactions of your own. Nobody's permission is asked.
// In a sandbox RPC is URL/sandbox/rpc, and anybody may `mint` test money first.
import { createPublicClient, createWalletClient, defineChain, http } from "viem";
import { parseAbi, parseUnits, zeroHash } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const [url, rpc, key, symbol, amount, mint] = process.argv.slice(2);
if (!amount) throw new Error("node deposit.mjs URL RPC KEY TOKEN AMOUNT");

const config = await (await fetch(`${url}/v1/config`)).json();
const exchange = await (await fetch(`${url}/v1/contracts/exchange`)).json();
const token = config.tokens.find((one) => one.symbol === symbol);
if (!token) throw new Error(`no token ${symbol}`);

const chain = defineChain({
  id: config.chain_id,
  name: "the exchange's",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpc] } },
});
const account = privateKeyToAccount(key);
const wallet = createWalletClient({ account, chain, transport: http() });
const reader = createPublicClient({ chain, transport: http(), pollingInterval: 100 });

async function send(address, abi, functionName, args) {
  const hash = await wallet.writeContract({ address, abi, functionName, args });
  const receipt = await reader.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error(`${functionName} reverted: ${hash}`);
  console.log(`${functionName}: ${hash}`);
}

const raw = parseUnits(amount, token.decimals);
const erc20 = parseAbi(["function approve(address spender, uint256 amount) returns (bool)"]);
if (mint) {
  const test = parseAbi(["function mint(address to, uint256 amount)"]);
  await send(token.address, test, "mint", [account.address, raw]);
}
await send(token.address, erc20, "approve", [exchange.address, raw]);
const deposit = [token.address, raw, account.address, zeroHash];
await send(exchange.address, exchange.abi, "deposit", deposit);
