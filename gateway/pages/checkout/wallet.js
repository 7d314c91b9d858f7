// Pay with a wallet that the browser has: EIP-6963, or the old kind in window.ethereum (EIP-1193).
// What it is asked comes from the server as calldata and typed data; nothing is composed here but
// the end of a call, where the signature belongs.

const page = document.getElementById("checkout");
const announcer = document.getElementById("announcer");
const { invoice } = document.body.dataset;
const DECLINED = 4001;
const UNKNOWN_CHAIN = 4902;
const POLLS_MAX = 240;
const POLL_MS = 500;
const SIGNATURE = /^0x[0-9a-fA-F]{130}$/;
const found = new Map();
// What is shown outlives the part of the page it stands in, which is swapped at each change.
const shown = { wallet: null, account: "", steps: null, road: "", told: "", switches: false };
let busy = false;

class Elsewhere extends Error {}
class OtherForm extends Error {}

function place() {
  return document.getElementById("wallet");
}

function say(key, values = {}) {
  const text = JSON.parse(place().dataset.words)[key];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function wallets() {
  const list = [...found.values()];
  const old = window.ethereum;
  if (typeof old?.request === "function" && !list.some(({ provider }) => provider === old)) {
    list.push({ name: "", provider: old });
  }
  return list;
}

function button(text, kind, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = kind;
  made.textContent = text;
  made.disabled = busy;
  made.addEventListener("click", () => working(act));
  return made;
}

function roads() {
  const field = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = say("wallet_how");
  field.append(legend);
  for (const { road } of shown.steps.roads) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "road", value: road, disabled: busy });
    radio.checked = road === shown.road;
    radio.addEventListener("change", () => { shown.road = road; });
    label.append(radio, " ", say(`road_${road}`));
    field.append(label);
  }
  return field;
}

function draw() {
  const here = place();
  if (!here) return;
  const list = wallets();
  here.hidden = !list.length;
  if (!list.length) return;
  const held = here.contains(document.activeElement) ? document.activeElement.value : null;
  here.replaceChildren();
  if (!shown.steps) {
    for (const wallet of list) {
      const text = wallet.name ? say("wallet_with", { wallet: wallet.name }) : say("wallet_pay");
      here.append(button(text, "button", () => connect(wallet)));
    }
  } else {
    here.append(roads());
    if (shown.switches) {
      const text = say("wallet_switch", { network: shown.steps.network });
      here.append(button(text, "button", changeChain));
    } else here.append(button(say("wallet_go"), "button go", pay));
  }
  const told = document.createElement("p");
  told.className = "told";
  told.textContent = shown.told;
  here.append(told);
  if (held) here.querySelector(`[value="${held}"]`)?.focus({ preventScroll: true });
}

function tell(text) {
  shown.told = announcer.textContent = text;
  draw();
}

function ask(method, ...params) {
  return shown.wallet.provider.request({ method, params });
}

// One thing at a time: a second press must not be a second payment.
async function working(act) {
  if (busy) return;
  busy = true;
  draw();
  try {
    await act();
  } catch (error) {
    const code = error.code ?? error.data?.originalError?.code;
    if (error instanceof Elsewhere) { shown.switches = true; tell(say("wallet_elsewhere")); }
    else if (error instanceof OtherForm) tell(say("wallet_form"));
    else if (code === DECLINED) tell(say("wallet_declined"));
    else tell(say("wallet_failed", { reason: error.message }));
  } finally {
    busy = false;
    draw();
    place()?.querySelector("input:checked, .button")?.focus({ preventScroll: true });
  }
}

async function connect(wallet) {
  shown.wallet = wallet;
  [shown.account] = await ask("eth_requestAccounts");
  await load();
  await requireChain();
}

async function load() {
  const token = encodeURIComponent(place().dataset.token);
  const answer = await fetch(`${invoice}/wallet?from=${shown.account}&token=${token}`);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  shown.steps = await answer.json();
  if (!shown.steps.roads.some(({ road }) => road === shown.road)) {
    shown.road = shown.steps.roads[0].road;
  }
  shown.told = "";
}

// Asked right before each step: on another chain our addresses may be anybody's.
async function requireChain() {
  const chain = await ask("eth_chainId");
  if (BigInt(chain) !== BigInt(shown.steps.chain_id)) throw new Elsewhere();
  shown.switches = false;
}

async function changeChain() {
  const { chain_id: chainId, network, rpc } = shown.steps;
  try {
    await ask("wallet_switchEthereumChain", { chainId });
  } catch (refused) {
    const code = refused.code ?? refused.data?.originalError?.code;
    if (code !== UNKNOWN_CHAIN || !rpc) throw refused;
    await ask("wallet_addEthereumChain", {
      chainId,
      chainName: network,
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: [new URL(rpc, location.origin).href],
    });
    await ask("wallet_switchEthereumChain", { chainId });
  }
  await requireChain();
  tell("");
}

async function pay() {
  await requireChain();
  await load();  // What is due may have changed, and a signature lasts half an hour.
  const { steps } = shown.steps.roads.find(({ road }) => road === shown.road);
  let signature = "";
  for (const step of steps) {
    tell(say("wallet_asks"));
    if (step.kind === "approve") await approve(step);
    else if (step.kind === "sign") signature = await sign(step);
    else await send(step.to, step.data + ending(step.append, signature));
  }
  shown.steps = null;
  tell(say("wallet_sent"));
}

async function approve({ to, check, raw, data, reset }) {
  const allowed = BigInt(await call(to, check));
  if (allowed >= BigInt(raw)) return;
  if (allowed > 0n) await mined(await send(to, reset));
  await mined(await send(to, data));
}

async function sign({ typed, to, nonce_call: nonceCall }) {
  if (nonceCall) typed.message.nonce = BigInt(await call(to, nonceCall)).toString();
  const signature = await ask("eth_signTypedData_v4", shown.account, JSON.stringify(typed));
  if (!SIGNATURE.test(signature)) throw new OtherForm();
  return signature;
}

// The words of a signature in the order that the call takes them.
function ending(append, signature) {
  if (!append) return "";
  const r = signature.slice(2, 66), s = signature.slice(66, 130);
  const parity = parseInt(signature.slice(130), 16);
  const v = (parity < 27 ? parity + 27 : parity).toString(16);
  return append === "vrs" ? v.padStart(64, "0") + r + s : r + s + v.padEnd(64, "0");
}

async function call(to, data) {
  await requireChain();
  return ask("eth_call", { to, data }, "latest");
}

async function send(to, data) {
  await requireChain();
  return ask("eth_sendTransaction", {
    from: shown.account, to, data, value: "0x0", chainId: shown.steps.chain_id,
  });
}

async function mined(hash) {
  for (let n = 0; n < POLLS_MAX; n += 1) {
    const receipt = await ask("eth_getTransactionReceipt", hash);
    if (receipt) {
      if (BigInt(receipt.status) !== 1n) throw new Error(`${hash} reverted`);
      return;
    }
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`${hash} is not mined yet`);
}

addEventListener("eip6963:announceProvider", ({ detail }) => {
  if (typeof detail?.provider?.request !== "function") return;
  found.set(detail.info.uuid, { name: String(detail.info.name), provider: detail.provider });
  draw();
});
page.addEventListener("shown", draw);
dispatchEvent(new Event("eip6963:requestProvider"));
draw();
