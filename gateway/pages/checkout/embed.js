// Does this page stand in a shop's own page? Then say there how the sale ended, and lead elsewhere
// in a tab of its own. The shop has named its sites; nobody else may frame us, and none is told.

const ENDS = { converting: "settled", unsold: "settled", settled: "settled",
  expired: "expired", invalid: "invalid", reversed: "invalid" };
const { embedders, invoice } = document.body.dataset;
const shop = new URLSearchParams(location.search).get("embed");
const page = document.getElementById("checkout");
let told = "";

function tell() {
  const state = ENDS[page?.querySelector("[data-phase]")?.dataset.phase];
  if (!state || state === told) return;
  told = state;
  window.parent.postMessage({ tillbook: "checkout", invoice: invoice.split("/").at(-1), state },
    shop);
}

function lead() {
  for (const link of document.querySelectorAll("a[href]")) {
    const url = new URL(link.href);
    if (link.closest(".languages, .choices")) {
      url.searchParams.set("embed", shop);
      link.href = url;
    } else {
      // Back to the shop leaves the frame; proofs and claims are read beside it.
      const isBack = link.closest(".back") && url.origin !== location.origin;
      link.target = isBack ? "_top" : "_blank";
      link.rel = "noopener";
    }
  }
  for (const form of document.querySelectorAll("form[action]:not(.sandbox)")) {
    const url = new URL(form.action);
    url.searchParams.set("embed", shop);
    form.action = url;
  }
}

if (window.parent !== window && (embedders ?? "").split(" ").includes(shop)) {
  page?.addEventListener("shown", () => { lead(); tell(); });
  lead();
  tell();
}
