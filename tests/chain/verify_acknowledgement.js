// Would the bond take this word? An independent check of an answer: it shares no line with the
// product.
//
//     node verify_acknowledgement.js SIGNER < checked.json
//
// SIGNER is what `Bond.signer()` says; the input is a list of {domain, acknowledgement}, the domain
// as `GET /v1/config` has it, the acknowledgement as it was answered. Prints for each "signed" or
// what is wrong, one a line. From the word it computes the EIP-712 struct hash, from leaf and path
// the root, from root and domain the digest, and from that and the signature who signed.
"use strict";

const path = require("path");
const modules = path.join(__dirname, "../../settlement/contracts/node_modules");
const { keccak256 } = require(path.join(modules, "js-sha3"));
const { recoverAddress } = require(path.join(modules, "ethers"));

const DOMAIN =
  "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const ACKNOWLEDGEMENT = "Acknowledgement(uint64 sequence,bytes32 item,bytes32 head)";
const ACKNOWLEDGEMENTS = "Acknowledgements(bytes32 root)";

const text = (words) => Buffer.from(words, "utf8");
const hash = (...parts) => Buffer.from(keccak256.arrayBuffer(Buffer.concat(parts)));
const hex = (bytes) => "0x" + bytes.toString("hex");

// Figures end where the contract's do, and text is not cut or filled up in silence.
function word(figure, bits) {
  const number = BigInt(figure);
  if (number < 0n || number >> BigInt(bits)) throw new Error("a figure out of bounds");
  return Buffer.from(number.toString(16).padStart(64, "0"), "hex");
}

function bytes(said, size) {
  if (!/^0x([0-9a-f]{2})*$/.test(said)) throw new Error("not hexadecimal");
  if (said.length !== 2 + 2 * size) throw new Error(`not ${size} bytes`);
  return Buffer.from(said.slice(2), "hex");
}

function separator({ name, version, chainId, verifyingContract }) {
  const contract = Buffer.concat([Buffer.alloc(12), bytes(verifyingContract, 20)]);
  const words = [hash(text(name)), hash(text(version)), word(chainId, 256), contract];
  return hash(hash(text(DOMAIN)), ...words);
}

function root(leaf, index, count, siblings) {
  word(count, 32);
  if (!(index >= 0 && index < count)) throw new Error("there is no such place");
  const left = siblings.map((sibling) => bytes(sibling, 32));
  let node = leaf;
  for (; count > 1; index = Math.floor(index / 2), count = Math.ceil(count / 2)) {
    const isRight = index % 2 === 1;
    if (!isRight && index + 1 === count) continue; // The odd last node moves up unchanged.
    const sibling = left.shift();
    if (sibling === undefined) throw new Error("the path is too short");
    node = isRight ? hash(sibling, node) : hash(node, sibling);
  }
  if (left.length) throw new Error("the path is too long");
  return node;
}

function check(signer, { domain, acknowledgement }) {
  const { sequence, item, head, index, count, siblings, signature } = acknowledgement;
  const said = [word(sequence, 64), bytes(item, 32), bytes(head, 32)];
  const top = root(hash(hash(text(ACKNOWLEDGEMENT)), ...said), index, count, siblings);
  const struct = hash(hash(text(ACKNOWLEDGEMENTS)), top);
  const digest = hash(Buffer.from("1901", "hex"), separator(domain), struct);
  const form = bytes(signature, 65);
  if (![27, 28].includes(form[64])) throw new Error("not the form of a signature");
  const signedBy = recoverAddress(hex(digest), signature); // Refuses a high s.
  if (signedBy.toLowerCase() !== signer) throw new Error("the signature is not the signer's");
  return "signed";
}

const signer = process.argv[2].toLowerCase();
for (const one of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  try {
    console.log(check(signer, one));
  } catch (error) {
    console.log(error.message.split("\n")[0]);
  }
}
