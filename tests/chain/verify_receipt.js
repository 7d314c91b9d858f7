// Is a receipt true? An independent verifier: it shares no line with the product.
//
//     node verify_receipt.js RPC_URL REF < receipt.json
//
// Prints "proven" and ends with 0, or says what is wrong and ends with 1. From the two orders as
// they were signed it computes EIP-712 digests, from those the leaf, from leaf and path the root,
// from header and root the head; the chain has the last word.
"use strict";

const path = require("path");
const modules = path.join(__dirname, "../../settlement/contracts/node_modules");
const { keccak256 } = require(path.join(modules, "js-sha3"));

const ORDER =
  "Order(address account,uint64 nonce,uint16 flags,uint16 lane,address base,address quote," +
  "uint64 baseAmount,uint64 quoteAmount,uint64 triggerOrDisplay,uint32 expiry,uint16 maxFeePpm," +
  "bytes32 ref)";
const DOMAIN =
  "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

const text = (words) => Buffer.from(words, "utf8");
const hash = (...parts) => Buffer.from(keccak256.arrayBuffer(Buffer.concat(parts)));
const unhex = (hex) => Buffer.from(hex.slice(2), "hex");
const hex = (bytes) => "0x" + bytes.toString("hex");
const word = (figure) =>
  Buffer.from(BigInt.asUintN(256, BigInt(figure)).toString(16).padStart(64, "0"), "hex");

function separator(domain) {
  const { name, version, chainId, verifyingContract } = domain;
  const [named, versioned] = [hash(text(name)), hash(text(version))];
  return hash(hash(text(DOMAIN)), named, versioned, word(chainId), word(verifyingContract));
}

function digest(domain, order) {
  const struct = hash(
    hash(text(ORDER)),
    ...[order.account, order.nonce, order.flags, order.lane, order.base, order.quote],
    ...[order.baseAmount, order.quoteAmount, order.triggerOrDisplay, order.expiry],
    ...[order.maxFeePpm, order.ref],
  );
  return hash(Buffer.from("1901", "hex"), separator(domain), struct);
}

function asWords(order) {
  return Object.fromEntries(Object.entries(order).map(([name, value]) => [name, word(value)]));
}

function root(leaf, index, count, siblings) {
  let node = leaf;
  const left = siblings.map(unhex);
  for (; count > 1; index >>= 1, count = (count + 1) >> 1) {
    if ((index ^ 1) >= count) continue; // The odd last node moves up unchanged.
    const sibling = left.shift();
    if (sibling === undefined) throw new Error("the path is too short");
    node = index & 1 ? hash(sibling, node) : hash(node, sibling);
  }
  if (left.length) throw new Error("the path is too long");
  return node;
}

async function headOnChain(url, contract, batch) {
  const selector = hash(text("batchHash(uint256)")).subarray(0, 4);
  const call = { to: contract, data: hex(Buffer.concat([selector, word(batch)])) };
  const body = { jsonrpc: "2.0", id: 1, method: "eth_call", params: [call, "latest"] };
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()).result;
}

async function main() {
  const [url, ref] = process.argv.slice(2);
  const receipt = JSON.parse(require("fs").readFileSync(0, "utf8"));
  if (![receipt.buy.ref, receipt.sell.ref].includes(ref)) throw new Error("another invoice's");
  const index = word(receipt.index);
  const { baseAmount, quoteAmount, buyFee, sellFee } = receipt.trade;
  const orders = [receipt.buy, receipt.sell];
  const digests = orders.map((order) => digest(receipt.domain, asWords(order)));
  const pips = [baseAmount, quoteAmount, buyFee, sellFee].map(word);
  const leaf = hash(index, ...digests, ...pips);
  const top = root(leaf, receipt.index, receipt.tradeCount, receipt.path);
  const { batch, prevHead, closeTime, logRoot, firstSequence, commandCount } = receipt.header;
  const header = [batch, prevHead, closeTime, logRoot, firstSequence, commandCount].map(word);
  const head = hex(hash(...header, word(receipt.tradeCount), top));
  const onChain = await headOnChain(url, receipt.domain.verifyingContract, batch);
  if (head !== onChain) throw new Error(`the chain has head ${onChain}, the receipt ${head}`);
  console.log("proven");
}

main().catch((error) => {
  console.log(error.message);
  process.exitCode = 1;
});
