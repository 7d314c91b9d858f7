// As `sign.mjs`, by viem: reads a JSON list of {secret, domain, types, value} on stdin and writes
// [digest, signature, struct hash] of each.
import { readFileSync } from "node:fs";
import { hashStruct, hashTypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const asked = JSON.parse(readFileSync(0, "utf8"));
const told = [];
for (const { secret, domain, types, value } of asked) {
  const [primaryType] = Object.keys(types);
  const typed = { domain, types, primaryType, message: value };
  const signature = await privateKeyToAccount(secret).signTypedData(typed);
  told.push([hashTypedData(typed), signature, hashStruct({ data: value, primaryType, types })]);
}
process.stdout.write(JSON.stringify(told));
