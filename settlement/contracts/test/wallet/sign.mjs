// What does a JavaScript wallet sign? Reads a JSON list of {secret, domain, types, value} on stdin
// and writes [digest, signature] of each, as ethers computes them from the type tree.
import { readFileSync } from "node:fs";
import { TypedDataEncoder, Wallet } from "ethers";

const asked = JSON.parse(readFileSync(0, "utf8"));
const told = [];
for (const { secret, domain, types, value } of asked) {
  const signature = await new Wallet(secret).signTypedData(domain, types, value);
  told.push([TypedDataEncoder.hash(domain, types, value), signature]);
}
process.stdout.write(JSON.stringify(told));
