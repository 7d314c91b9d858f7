// How does money come in and go out? A deposit is two transactions of the wallet, a withdrawal one
// signature; in a sandbox there is money for nothing.

import { AmountError, pipsOf, pipsOfRaw, pretty, rawOf } from "./amounts.js";
import { calldata } from "./calldata.js";
import { byId, element, setText } from "./elements.js";
import { errorWords, t } from "./words.js";

const WITHDRAWAL_SECONDS = 3_600;

export class Funds {
  #api;
  #config;
  #wallets;
  #session;
  #account;
  #dialog = byId("funds");
  // What we have put into the field for where it goes: the account of then.
  #own = "";

  constructor({ api, config, wallets, session, account }) {
    this.#api = api;
    this.#config = config;
    this.#wallets = wallets;
    this.#session = session;
    this.#account = account;
    const options = () => config.tokens.map(({ symbol }) => element("option", {}, symbol));
    byId("funds-token").replaceChildren(...options());
    byId("funds-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("funds-form").addEventListener("input", () => this.#drawFunds());
    byId("funds-all").addEventListener("click", () => this.#all());
    byId("faucet").addEventListener("click", () => this.#faucet());
    account.addEventListener("change", () => this.#drawFunds());
  }

  open(what) {
    byId("funds-form").elements.what.value = what;
    byId("funds-amount").value = "";
    byId("funds-to").value = "";
    this.#tell("", "");
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#drawFunds();
  }

  get #isDeposit() {
    return byId("funds-form").elements.what.value === "deposit";
  }

  get #token() {
    return this.#config.tokens.find(({ symbol }) => symbol === byId("funds-token").value);
  }

  // What may be moved: in the wallet for a deposit, in the exchange for a withdrawal.
  async #there() {
    const token = this.#token;
    if (!this.#isDeposit) return this.#account.available(token.symbol);
    await this.#wallets.requireChain();
    const asked = calldata("balanceOf", this.#wallets.account);
    const raw = await this.#wallets.call(token.address, asked);
    return pipsOfRaw(BigInt(raw), token.decimals);
  }

  async #drawFunds() {
    if (!this.#dialog.open) return;
    const isDeposit = this.#isDeposit;
    setText(byId("funds-submit"), t(isDeposit ? "deposit" : "withdraw"));
    setText(byId("funds-told"), t(isDeposit ? "deposit_long" : "withdraw_long"));
    byId("funds-to-field").hidden = isDeposit;
    if (["", this.#own].includes(byId("funds-to").value)) {
      byId("funds-to").value = this.#own = this.#wallets.account ?? "";
    }
    try {
      const there = await this.#there();
      const amount = there === null ? "–" : `${pretty(there, 2)} ${this.#token.symbol}`;
      setText(byId("funds-there"), t(isDeposit ? "in_wallet" : "in_exchange", { amount }));
    } catch (error) {
      setText(byId("funds-there"), errorWords(error));
    }
  }

  async #all() {
    try {
      const there = await this.#there();
      if (there !== null) byId("funds-amount").value = pretty(there);
    } catch (error) {
      this.#tell(errorWords(error), "bad");
    }
  }

  async #submit() {
    await this.#working(async () => {
      const amount = pipsOf(byId("funds-amount").value);
      if (amount <= 0n) throw new AmountError("amount_zero");
      const there = await this.#there();
      if (there !== null && amount > there) {
        throw new AmountError("not_enough", { symbol: this.#token.symbol,
          needed: pretty(amount, 2), available: pretty(there, 2) });
      }
      return this.#isDeposit ? this.#deposit(amount) : this.#withdraw(amount);
    });
  }

  async #deposit(pips) {
    const token = this.#token, { account } = this.#wallets, { contract } = this.#config;
    const raw = rawOf(pips, token.decimals);
    const allowed = BigInt(await this.#wallets.call(token.address,
      calldata("allowance", account, contract)));
    if (allowed < raw) {
      this.#tell(t("approving", { symbol: token.symbol }), "");
      const approved = await this.#wallets.send(
        account, token.address, calldata("approve", contract, raw));
      await this.#wallets.mined(approved);
    }
    this.#tell(t("depositing"), "");
    const sent = await this.#wallets.send(account, contract,
      calldata("deposit", token.address, raw, account, 0));
    await this.#wallets.mined(sent);
    return t("deposited", { amount: pretty(pips), symbol: token.symbol });
  }

  async #withdraw(pips) {
    const token = this.#token, { account } = this.#wallets;
    // As it was typed: mixed case is a checksum, which the exchange holds the address against.
    const to = byId("funds-to").value.trim();
    if (!/^0x[0-9a-fA-F]{40}$/.test(to)) throw new AmountError("bad_address");
    const [config, nonces] = await Promise.all([
      this.#api.get("/v1/config"), this.#api.get(`/v1/nonces/${account}`)]);
    const message = {
      account, token: token.address, amount: String(pips), to, nonce: nonces.withdrawal,
      expiry: Number(BigInt(config.time_ns) / 10n ** 9n) + WITHDRAWAL_SECONDS,
    };
    const signature = await this.#wallets.sign("Withdrawal", message);
    await this.#api.post("/v1/withdrawals", { ...message, signature });
    return t("withdrawn", { amount: pretty(pips), symbol: token.symbol });
  }

  async #faucet() {
    await this.#working(async () => {
      await this.#api.post("/sandbox/faucet", { account: this.#wallets.account });
      return t("faucet_done");
    });
  }

  // One thing at a time, and every end is told.
  async #working(work) {
    const buttons = [byId("funds-submit"), byId("faucet")];
    for (const button of buttons) button.disabled = true;
    this.#tell(t("working"), "");
    try {
      this.#tell(await work(), "good");
    } catch (error) {
      if (error.status === 401) this.#session.forget();
      this.#tell(errorWords(error), "bad");
    } finally {
      for (const button of buttons) button.disabled = false;
      this.#drawFunds();
    }
  }

  #tell(text, kind) {
    const told = byId("funds-state");
    setText(told, text);
    told.className = kind;
  }
}
