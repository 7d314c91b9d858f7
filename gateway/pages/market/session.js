// May this page see the account? A login that the wallet signs once a day opens a session. It is
// kept for this tab only, and given up with the account.

const KEPT = "tillbook-session";
const LEAST_SECONDS = 60;

export class Session extends EventTarget {
  #api;
  #wallets;
  #stream;
  account = null;

  constructor(api, wallets, stream) {
    super();
    this.#api = api;
    this.#wallets = wallets;
    this.#stream = stream;
    wallets.addEventListener("change", () => this.#follow());
  }

  get isOpen() {
    return this.account !== null;
  }

  // An account that is another one now, or none, is logged out; a kept session of it is taken up.
  #follow() {
    const { account } = this.#wallets;
    if (account === this.account) return;
    this.close();
    const kept = account === null ? null : read();
    if (kept?.account === account && kept.expires_at > Date.now() / 1000 + LEAST_SECONDS) {
      this.#open(kept);
    }
  }

  async logIn(nowSeconds) {
    const { account } = this.#wallets;
    const message = { account, issuedAt: nowSeconds };
    const signature = await this.#wallets.sign("Login", message);
    const opened = await this.#api.post("/v1/sessions", { ...message, signature });
    if (this.#wallets.account !== account) return;
    sessionStorage.setItem(KEPT, JSON.stringify(opened));
    this.#open(opened);
  }

  #open({ account, token }) {
    this.account = account;
    this.#api.token = token;
    this.#stream.logIn(token);
    this.dispatchEvent(new Event("change"));
  }

  close() {
    if (this.account === null) return;
    this.account = null;
    this.#api.token = "";
    this.#stream.logOut();
    this.dispatchEvent(new Event("change"));
  }

  // The exchange does not know it any more: after a restart with another secret, or in time.
  forget() {
    sessionStorage.removeItem(KEPT);
    this.close();
  }
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}
