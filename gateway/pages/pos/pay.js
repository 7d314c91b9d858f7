// Opens a pay button's page over the shop's own page. Without this script its link is a link:
//   <a href="https://HERE/pay/STORE/BUTTON">Pay</a>
//   <script src="https://HERE/pay.js" data-button="STORE/BUTTON" async></script>
// The link hears an event `tillbook` when the sale has ended: detail { invoice, state }, for the
// page only. What is shipped on is the webhook.

(() => {
  const WORDS = {
    en: ["Pay", "Close", "Open in a tab"], zh: ["付款", "关闭", "在新标签页中打开"],
    ja: ["支払う", "閉じる", "タブで開く"], es: ["Pagar", "Cerrar", "Abrir en otra pestaña"],
    ar: ["ادفع", "إغلاق", "افتح في علامة تبويب"], de: ["Zahlen", "Schließen", "Im Tab öffnen"],
  };
  const script = document.currentScript;
  const { button = "", label, lang } = script.dataset;
  if (!/^[\w-]+\/[\w-]+$/.test(button)) {
    console.error("pay.js: data-button is STORE/BUTTON");
    return;
  }
  const home = new URL(script.src).origin;
  const path = `/pay/${button}`;
  const spoken = lang || document.documentElement.lang || navigator.language || "en";
  const [pay, close, inTab] = WORDS[spoken.slice(0, 2).toLowerCase()] ?? WORDS.en;
  const address = `${home}${path}?lang=${encodeURIComponent(spoken)}`;
  let frame = null;

  const isOurs = (link) => link.origin === home && link.pathname === path;
  const links = [...document.querySelectorAll("a[href]")].filter(isOurs);
  if (!links.length) {
    const made = make("a", { href: address, textContent: label || pay });
    script.after(made);
    links.push(made);
  }

  function make(name, properties, style = "") {
    const made = Object.assign(document.createElement(name), properties);
    made.style.cssText = style;
    return made;
  }

  function open(link) {
    if (frame) return;
    frame = make("iframe", {
      src: `${address}&embed=${encodeURIComponent(location.origin)}`,
      title: link.textContent.trim() || pay, allow: "clipboard-write",
    }, "border:0;flex:1;width:100%;background:#fff;color-scheme:light dark");
    const shut = make("button", { type: "button", textContent: close },
      "font:inherit;min-height:44px;padding:0 14px;cursor:pointer");
    const tab = make("a", { href: address, target: "_blank", rel: "noopener", textContent: inTab },
      "align-self:center;padding:10px;color:inherit");
    const bar = make("div", {}, "display:flex;justify-content:space-between;padding:6px");
    bar.append(tab, shut);
    const dialog = make("dialog", { ariaLabel: frame.title },
      "display:flex;flex-direction:column;box-sizing:border-box;padding:0;border:0;width:100%;"
      + "max-width:520px;height:92vh;max-height:900px;border-radius:12px;overflow:hidden;"
      + "font:16px system-ui,sans-serif;background:Canvas;color:CanvasText");
    dialog.append(bar, frame);
    shut.addEventListener("click", () => dialog.close());
    tab.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); frame = null; link.focus(); });
    document.body.append(dialog);
    dialog.showModal();
  }

  for (const link of links) {
    link.addEventListener("click", (event) => {
      const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
      if (!isPlain || !("HTMLDialogElement" in window)) return;
      event.preventDefault();
      open(link);
    });
  }
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== home || !frame || source !== frame.contentWindow) return;
    if (data?.tillbook !== "checkout") return;
    const { invoice, state } = data;
    for (const link of links) {
      link.dispatchEvent(new CustomEvent("tillbook",
        { bubbles: true, detail: { invoice, state } }));
    }
  });
})();
