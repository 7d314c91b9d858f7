// Where can a person see the transaction that moved the money? At the explorer that the operator
// named, in a sandbox in a window of ours, else by its hash.

import { byId, element, setText, shortHash } from "./elements.js";
import { t } from "./words.js";

// Return what makes the text of a hash: a link, a button or just the text.
export function linker({ explorer, sandbox }) {
  return (hash) => {
    if (!hash) return "";
    const text = shortHash(hash);
    if (explorer) {
      return element("a", { href: explorer + hash, target: "_blank", rel: "noopener noreferrer",
        title: hash, className: "hash" }, text);
    }
    if (!sandbox) return element("code", { title: hash }, text);
    const button = element("button", { type: "button", className: "hash", title: hash }, text);
    button.addEventListener("click", () => show(hash));
    return button;
  };
}

async function rpc(method, ...params) {
  const answer = await fetch("/sandbox/rpc", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  return (await answer.json()).result ?? null;
}

async function show(hash) {
  const list = byId("tx-figures");
  list.replaceChildren(...figure("tx_hash", hash));
  byId("tx").showModal();
  const receipt = await rpc("eth_getTransactionReceipt", hash);
  setText(byId("tx-told"), receipt ? "" : t("tx_none"));
  if (!receipt) return;
  list.append(
    ...figure("tx_status", t(BigInt(receipt.status) ? "tx_ok" : "tx_failed")),
    ...figure("tx_block", String(BigInt(receipt.blockNumber))),
    ...figure("tx_gas", String(BigInt(receipt.gasUsed))),
    ...figure("tx_from", receipt.from),
    ...figure("tx_to", receipt.to ?? "–"),
    ...figure("tx_logs", String(receipt.logs.length)),
  );
}

function figure(word, text) {
  return [element("dt", {}, t(word)), element("dd", {}, text)];
}
