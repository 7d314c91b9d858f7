// Which application asks for a key of a shop, what may it do with it, and where is it sent?

import { element } from "../market/elements.js";
import { ask, confirmed } from "./asking.js";
import { button, card, facts, form, shownOnce } from "./parts.js";
import { t } from "./words.js";

const told = (word, className = "note") => element("p", { className }, t(word));

export async function authorize({ me, store, may, attempt, tell }) {
  const asks = JSON.parse(document.body.dataset.asks);
  if (!store) return [told("authorize_no_store", "warning")];
  if (asks.store && asks.store !== store.id) return [told("authorize_elsewhere", "warning")];
  const place = element("div", {});
  const shown = card(null,
    facts([
      ["parameter_application", asks.application],
      ["parameter_redirect", asks.redirect ? sentTo(asks) : t("authorize_nowhere")],
      ["store", store.name || store.id],
    ]),
    told("authorize_told"), ...(asks.identifier ? [told("authorize_again")] : []));
  if (asks.strict && !asks.scopes.every(may)) {
    return [shown, told("authorize_missing", "warning")];
  }
  const choices = element("fieldset", {}, element("legend", {}, t("parameter_scopes")),
    ...asks.scopes.map((scope) => choice(scope, asks.strict, may(scope))));
  const agreed = form("authorize", [choices], (_, made) => attempt(async () => {
    const scopes = [...made.querySelectorAll("input:checked")].map(({ value }) => value);
    const { application, identifier, redirect } = asks;
    const wish = { application, identifier, redirect, scopes };
    const stepUp = await confirmed("api-key.authorize", store.id, wish);
    const key = await ask("POST", `/v1/stores/${store.id}/applications`, wish, stepUp);
    if (redirect) send(redirect, me, key);
    else place.replaceChildren(shownOnce("shown_once", key.api_key));
  }));
  const refuse = button("authorize_not", () => {
    choices.closest("section").replaceChildren();
    tell(t("authorize_refused"));
  });
  agreed.append(refuse);
  return [shown, card(null, agreed, place)];
}

// The origin first and strong: the rest of an address is chosen to be read past.
const sentTo = ({ origin, redirect }) => element("span", {},
  element("strong", {}, origin), " ", element("code", {}, redirect));

function choice(scope, strict, mine) {
  const input = element("input", { type: "checkbox", name: "scopes", value: scope,
    checked: mine, disabled: strict || !mine });
  return element("label", { className: "choice" }, input, element("span", {},
    t(`scope_${scope.split(".").at(-1)}`), " ", element("code", {}, scope),
    ...(mine ? [] : [" ", t("authorize_lacks")])));
}

// As BTCPay Server sends it: by the browser, in a form's body, so that it is in no address.
function send(redirect, me, key) {
  const hidden = (name, value) => element("input", { type: "hidden", name, value });
  const posted = element("form", { method: "post", action: redirect, hidden: true },
    hidden("apiKey", key.api_key), hidden("userId", me.id),
    ...key.permissions.map((permission) => hidden("permissions[]", permission)));
  document.body.append(posted);
  posted.submit();
}
