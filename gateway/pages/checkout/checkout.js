// Keep the page true: ask for the state, show what changed, count down, copy.
// The server renders every word; without this file the page reloads itself instead.

const page = document.getElementById("checkout");
const announcer = document.getElementById("announcer");
const stateUrl = document.body.dataset.stateUrl;
const RETRY_MS = 5000;
let version = null;
// Whether a payment of the sandbox is under way: a second press must not be a second payment.
let paying = false;
let timer = 0;
// The server's time, in seconds, when performance.now() was 0. A customer's clock may be hours off.
let serverEpoch = null;

document.documentElement.dataset.live = "";

function phase() {
  return page.querySelector("[data-phase]")?.dataset.phase;
}

function show(state) {
  const focused = document.activeElement?.id;
  const before = phase();
  page.innerHTML = state.main;
  for (const button of page.querySelectorAll("form button")) button.disabled = paying;
  version = state.version;
  document.title = state.title;
  countDown();
  if (before !== state.phase) {
    // Spoken once a change of state; seconds and confirmations are there to be looked at.
    announcer.textContent = state.announcement;
    page.querySelector("[data-phase]").classList.add("arriving");
    document.getElementById("headline")?.focus({ preventScroll: true });
  } else if (focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

async function refresh() {
  clearTimeout(timer);
  let wait = RETRY_MS;
  try {
    // The browser asks with what it has; if nothing changed, that is all there is to send.
    const answer = await fetch(stateUrl, { cache: "no-cache" });
    const told = Date.parse(answer.headers.get("date"));
    if (told) serverEpoch = (told - performance.now()) / 1000;
    countDown();
    if (answer.ok) {
      const state = await answer.json();
      if (version === null && phase() === state.phase) version = state.version;
      if (version !== state.version) show(state);
      wait = state.ask_again_ms;
    }
  } catch {
    // Offline: what is shown stays true as of its moment, and we ask again.
  }
  clearTimeout(timer);
  if (wait && !document.hidden) timer = setTimeout(refresh, wait);
}

function countDown() {
  const clock = document.getElementById("countdown");
  if (!clock || serverEpoch === null) return;
  const now = serverEpoch + performance.now() / 1000;
  const left = Math.max(0, Math.floor(Number(clock.dataset.deadline) - now));
  const minutes = Math.floor(left / 60);
  clock.textContent = `${minutes}:${String(left % 60).padStart(2, "0")} left`;
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard outside a secure context: put the text where a long press can take it.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.firstChild;
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = "Copy"; }, 1500);
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

page.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (paying) return;
  const lock = (is) => {
    paying = is;
    for (const button of page.querySelectorAll("form button")) button.disabled = is;
  };
  lock(true);
  try {
    await fetch(event.target.action, { method: "POST", redirect: "manual" });
  } finally {
    await refresh();
    lock(false);
  }
});

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(countDown, 1000);
refresh();
