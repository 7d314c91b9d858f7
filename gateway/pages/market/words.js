// In which words does the page speak? In two languages; `?lang=` decides, else the browser.
//
// English stands in the page's HTML too, for who has no JavaScript; a test holds them together.

import { EN } from "./words_en.js";
import { ZH } from "./words_zh.js";

const LANGUAGES = { en: { words: EN, locale: "en-GB", html: "en" },
  zh: { words: ZH, locale: "zh-CN", html: "zh-CN" } };

export function languageOf(asked, spoken) {
  const wishes = [asked, ...spoken].filter(Boolean).map((wish) => wish.toLowerCase());
  for (const wish of wishes) {
    const [first] = wish.split("-");
    const known = Object.keys(LANGUAGES).find((name) => name === first);
    if (known) return known;
  }
  return "en";
}

const isPage = typeof document !== "undefined";
export const language = isPage
  ? languageOf(new URLSearchParams(location.search).get("lang"), navigator.languages) : "en";
export const { locale } = LANGUAGES[language];

// The text of a key with its figures; a key that is missing says `otherwise`, or itself.
export function t(key, figures = {}, otherwise = undefined) {
  const text = LANGUAGES[language].words[key] ?? EN[key] ?? otherwise ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(figures[name] ?? ""));
}

// What went wrong, as people say it: ours by word, the exchange's by outcome, a wallet's by code.
export function errorWords(error) {
  if (error.word) return t(error.word, error.figures);
  if (error.outcome) return t(`outcome_${error.outcome}`, {}, error.message);
  const code = error.code ?? error.data?.originalError?.code;
  if (code === 4001) return t("wallet_declined");
  if (error instanceof TypeError && /fetch|network/i.test(error.message)) return t("offline");
  return error.message || String(error);
}

// Say all that stands in the page's HTML in the language; data-t names the key, and in
// data-t-label that of its aria-label.
export function translate(root) {
  document.documentElement.lang = LANGUAGES[language].html;
  const names = { base: document.body.dataset.base, quote: document.body.dataset.quote };
  for (const each of root.querySelectorAll("[data-t]")) {
    each.textContent = t(each.dataset.t, { ...names, ...each.dataset });
  }
  for (const each of root.querySelectorAll("[data-t-label]")) {
    each.setAttribute("aria-label", t(each.dataset.tLabel, names));
  }
}
