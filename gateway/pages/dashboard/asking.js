// How is the server asked, and how does a person confirm what a session alone cannot do?
//
// The session is a cookie that no script sees. What gives power or moves money's way is confirmed
// as exactly that: the server says which factors have to answer its challenge, and the answer lets
// that one action happen once.

import { byId, element } from "../market/elements.js";
import { t } from "./words.js";

export class Refused extends Error {
  constructor(problem, status) {
    // Where there is no sentence of its own, the detail is the outcome's name once more.
    super(problem.why || problem.detail || problem.title || `HTTP ${status}`);
    this.problem = problem;
    this.status = status;
  }
}

export class Cancelled extends Error {}

let storeId = "";
export const workIn = (id) => { storeId = id; };

export async function ask(method, path, body, stepUp = "") {
  const headers = { "tillbook-store": storeId };
  if (method !== "GET" && method !== "DELETE") headers["content-type"] = "application/json";
  if (stepUp) headers["step-up"] = stepUp;
  const sent = headers["content-type"] ? JSON.stringify(body ?? {}) : undefined;
  const answer = await fetch(path, { method, headers, body: sent });
  const text = await answer.text();
  let told = {};
  try {
    told = text ? JSON.parse(text) : {};
  } catch {
    if (answer.ok) throw new Refused({ detail: "the answer is no JSON" }, answer.status);
  }
  if (!answer.ok) throw new Refused(told, answer.status);
  return told;
}

// An answer that is no JSON, as it comes.
export async function fetched(path) {
  const answer = await fetch(path, { headers: { "tillbook-store": storeId } });
  if (!answer.ok) throw new Refused({}, answer.status);
  return answer;
}

export const get = (path) => ask("GET", path);

// -- Passkeys ---------------------------------------------------------------------------------

const encoded = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const octets = (text) => Uint8Array.from(
  atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
export const unhex = (text) => Uint8Array.from(
  text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

export async function signedByPasskey(challenge, rpId, ids = []) {
  const made = await navigator.credentials.get({ publicKey: {
    challenge, rpId, userVerification: "required",
    allowCredentials: ids.map((id) => ({ type: "public-key", id: octets(id) })),
  } });
  return { id: made.id, response: {
    clientDataJSON: encoded(made.response.clientDataJSON),
    authenticatorData: encoded(made.response.authenticatorData),
    signature: encoded(made.response.signature),
  } };
}

export async function newPasskey(challenge, rpId, me) {
  const made = await navigator.credentials.create({ publicKey: {
    challenge,
    rp: { id: rpId, name: "Tillbook" },
    user: { id: new TextEncoder().encode(me.id), name: me.wallet ?? me.id,
      displayName: me.name || me.wallet || me.id },
    pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: "public-key", alg })),
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    attestation: "none",
    excludeCredentials: me.passkeys.map(({ id }) => ({ type: "public-key", id: octets(id) })),
  } });
  return { id: made.id, response: {
    clientDataJSON: encoded(made.response.clientDataJSON),
    attestationObject: encoded(made.response.attestationObject),
  } };
}

// -- Wallets ----------------------------------------------------------------------------------

export async function signedByWallet(provider, account, text) {
  const hex = [...new TextEncoder().encode(text)]
    .map((octet) => octet.toString(16).padStart(2, "0")).join("");
  return provider.request({ method: "personal_sign", params: [`0x${hex}`, account] });
}

// -- Confirming -------------------------------------------------------------------------------

let walletOf = async () => { throw new Error("no wallet"); };
export const walletsBy = (find) => { walletOf = find; };

// Return the id of the confirmed action, for the header `Step-Up`; throws Cancelled.
export async function confirmed(kind, store, parameters = {}) {
  const asked = await ask("POST", "/v1/people/step-ups", { kind, store_id: store, parameters });
  const code = await agreed(kind, parameters, asked.needs);
  const answer = {};
  if (asked.needs.includes("passkey")) {
    answer.passkey = await signedByPasskey(octets(asked.challenge), asked.rp_id, asked.passkeys);
  }
  if (asked.needs.includes("wallet")) {
    const { provider, account } = await walletOf(asked.wallet);
    answer.signature = await signedByWallet(provider, account, asked.message);
  }
  if (asked.needs.includes("totp")) answer.code = code;
  return (await ask("POST", `/v1/people/step-ups/${asked.id}/answer`, answer)).id;
}

// Change something as it was confirmed, show the section anew, and say that it is done.
export async function confirmedChange({ store, again, tell }, kind, method, path, wanted) {
  const stepUp = await confirmed(kind, store.id, wanted);
  await ask(method, path, wanted, stepUp);
  await again();
  tell(t("done"));
}

// A parameter as it is read: yes and no in words, a list's entries one after the other.
export function spoken(value) {
  if (Array.isArray(value)) return value.map(spoken).join(", ") || t("none");
  if (value !== null && typeof value === "object") {
    return Object.entries(value).map(([name, one]) =>
      `${t(`parameter_${name}`)} ${spoken(one)}`).join(" · ");
  }
  return typeof value === "boolean" ? t(value ? "yes" : "no") : String(value);
}

function agreed(kind, parameters, needs) {
  const dialog = byId("confirm");
  const facts = Object.entries(parameters).flatMap(([name, value]) => [
    element("dt", {}, t(`parameter_${name}`)), element("dd", {}, spoken(value))]);
  byId("confirm-what").replaceChildren(
    element("dt", {}, t("action")), element("dd", {}, t(`action_${kind}`)), ...facts);
  byId("confirm-needs").textContent = needs.map((need) => t(`need_${need}`)).join(" ");
  const code = byId("confirm-code");
  code.hidden = !needs.includes("totp");
  const input = code.querySelector("input");
  input.required = !code.hidden;
  input.value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((agree, cancel) => {
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") agree(input.value.trim());
      else cancel(new Cancelled());
    }, { once: true });
  });
}
