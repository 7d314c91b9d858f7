// Who signs? Wallets announce themselves (EIP-6963), older ones stand in window.ethereum
// (EIP-1193), and a sandbox lends one whose key is worthless. Each has to be on our chain.

import { typedData } from "./order_terms.js";

const UNKNOWN_CHAIN = 4902;
const KEPT = "tillbook-wallet";

// The sandbox's demo wallet, spoken to as any other. It asks nobody before it signs.
export function demoProvider() {
  const own = new Set(["eth_requestAccounts", "eth_accounts", "eth_signTypedData_v4",
    "personal_sign", "eth_sendTransaction"]);
  return {
    async request({ method, params = [] }) {
      const answer = await fetch(own.has(method) ? "/sandbox/wallet" : "/sandbox/rpc", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      });
      const told = await answer.json();
      if (told.error) throw Object.assign(new Error(told.error.message), told.error);
      if (!answer.ok) throw new Error(told.detail ?? `HTTP ${answer.status}`);
      return told.result;
    },
  };
}

export class Wallets extends EventTarget {
  #found = new Map();
  #config;
  #sandbox;
  provider = null;
  name = "";
  account = null;
  chainId = null;
  isDemo = false;

  constructor(config, sandbox) {
    super();
    this.#config = config;
    this.#sandbox = sandbox;
    addEventListener("eip6963:announceProvider", ({ detail }) => {
      if (typeof detail?.provider?.request !== "function") return;
      this.#found.set(detail.info.uuid, detail);
      this.#changed();
    });
    dispatchEvent(new Event("eip6963:requestProvider"));
  }

  // All wallets there are; one that announced itself is not listed a second time as the old kind.
  get list() {
    const found = [...this.#found].map(([id, { info, provider }]) =>
      ({ id, name: info.name, icon: safeIcon(info.icon), provider }));
    const old = window.ethereum;
    if (typeof old?.request === "function" && !found.some(({ provider }) => provider === old)) {
      found.push({ id: "injected", name: "", icon: "", provider: old });
    }
    if (this.#sandbox) found.push({ id: "demo", name: "", icon: "", provider: demoProvider() });
    return found;
  }

  get isOnChain() {
    return this.chainId === BigInt(this.#config.chain_id);
  }

  async connect({ id, name, provider }) {
    const [account] = await provider.request({ method: "eth_requestAccounts" });
    if (!account) return;
    if (this.provider !== provider) this.#listenTo(provider);
    sessionStorage.setItem(KEPT, id);
    this.provider = provider;
    this.isDemo = id === "demo";
    this.name = name;
    this.account = account.toLowerCase();
    await this.#readChain();
    this.#changed();
  }

  // After a reload of the tab: a wallet that still lets us see its account is not asked again.
  async resume() {
    const kept = sessionStorage.getItem(KEPT);
    const wallet = this.list.find(({ id }) => id === kept);
    if (!wallet || this.account !== null) return;
    const [account] = await wallet.provider.request({ method: "eth_accounts" });
    if (account) await this.connect(wallet);
  }

  disconnect() {
    sessionStorage.removeItem(KEPT);
    this.provider = this.account = this.chainId = null;
    this.isDemo = false;
    this.#changed();
  }

  #listenTo(provider) {
    const isOurs = () => this.provider === provider;
    provider.on?.("accountsChanged", ([account]) => {
      if (!isOurs()) return;
      if (!account) return this.disconnect();
      this.account = account.toLowerCase();
      return this.#changed();
    });
    provider.on?.("chainChanged", (chainId) => {
      if (!isOurs()) return;
      this.chainId = BigInt(chainId);
      this.#changed();
    });
    provider.on?.("disconnect", () => { if (isOurs()) this.disconnect(); });
  }

  async #readChain() {
    this.chainId = BigInt(await this.provider.request({ method: "eth_chainId" }));
  }

  // Ask the wallet to change to our chain; one that does not know it is told of a sandbox's.
  async switchChain() {
    const chainId = `0x${this.#config.chain_id.toString(16)}`;
    const change = { method: "wallet_switchEthereumChain", params: [{ chainId }] };
    try {
      await this.provider.request(change);
    } catch (refused) {
      const code = refused.code ?? refused.data?.originalError?.code;
      if (code !== UNKNOWN_CHAIN || !this.#sandbox) throw refused;
      await this.provider.request({ method: "wallet_addEthereumChain", params: [{
        chainId,
        chainName: "Tillbook sandbox",
        nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
        rpcUrls: [`${location.origin}/sandbox/rpc`],
      }] });
      await this.provider.request(change);
    }
    await this.#readChain();
    this.#changed();
  }

  sign(primaryType, message) {
    const typed = typedData(this.#config, primaryType, message);
    return this.provider.request({
      method: "eth_signTypedData_v4", params: [this.account, JSON.stringify(typed)],
    });
  }

  // Only on our chain, which is asked now: on another one our addresses may be anybody's.
  async send(from, to, calldata) {
    await this.requireChain();
    const chainId = `0x${this.#config.chain_id.toString(16)}`;
    return this.provider.request({
      method: "eth_sendTransaction", params: [{ from, to, data: calldata, chainId }],
    });
  }

  async requireChain() {
    await this.#readChain();
    if (this.isOnChain) return;
    this.#changed();
    throw Object.assign(new Error("on another chain"), { word: "wrong_chain" });
  }

  call(to, calldata) {
    return this.provider.request({
      method: "eth_call", params: [{ to, data: calldata }, "latest"],
    });
  }

  // Return the receipt once there is one; a transaction that reverted is an error.
  async mined(hash, { polls = 240, pauseMs = 500 } = {}) {
    for (let n = 0; n < polls; n += 1) {
      const receipt = await this.provider.request({
        method: "eth_getTransactionReceipt", params: [hash],
      });
      if (receipt) {
        if (BigInt(receipt.status) !== 1n) throw new Error(`${hash} reverted`);
        return receipt;
      }
      await new Promise((done) => setTimeout(done, pauseMs));
    }
    throw new Error(`${hash} is not mined yet`);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

// A wallet's picture may be of any origin; only one that it carries itself is shown.
function safeIcon(icon) {
  return /^data:image\//.test(icon ?? "") ? icon : "";
}
