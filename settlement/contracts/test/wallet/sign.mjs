// What does a JavaScript wallet sign? Reads a JSON list of {secret, domain, types, value} on stdin
// and writes [digest, signature, struct hash] of each, as ethers computes them from the type tree.
import { readFileSync } from "node:fs";
import { TypedDataEncoder, Wallet } from "ethers";

const asked = JSON.parse(readFileSync(0, "utf8"));
const told = [];
for (const { secret, domain, types, value } of asked) {
  const signature = await new Wallet(secret).signTypedData(domain, types, value);
  const digest = TypedDataEncoder.hash(domain, types, value);
  told.push([digest, signature, TypedDataEncoder.from(types).hash(value)]);
}
process.stdout.write(JSON.stringify(told));
