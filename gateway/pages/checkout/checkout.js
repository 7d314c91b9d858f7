// Keep the page true: hear of the state, show what changed, count down, copy.
// The server renders every word; without this file the page reloads itself instead.

const page = document.getElementById("checkout");
const announcer = document.getElementById("announcer");
const { invoice, query, copied, holdsFor } = document.body.dataset;
const RETRY_MS = 5000;
// Streams end by themselves within a minute and come again; one that fails at once so often is
// not to be had here, and the page asks from time to time instead.
const FAILURES_MAX = 3;
let version = null;
// Whether a payment of the sandbox is under way: a second press must not be a second payment.
let paying = false;
let timer = 0;
let stream = null;
let failures = 0;
let ended = false;
// The server's time, in seconds, when performance.now() was 0. A customer's clock may be hours off.
let serverEpoch = null;

document.documentElement.dataset.live = "";

function phase() {
  return page.querySelector("[data-phase]")?.dataset.phase;
}

function tellTime(seconds) {
  serverEpoch = seconds - performance.now() / 1000;
  countDown();
}

function take(state) {
  ended = !state.ask_again_ms;
  if (version === null && phase() === state.phase) version = state.version;
  if (version !== state.version) show(state);
}

function show(state) {
  const focused = document.activeElement?.id;
  const opened = [...page.querySelectorAll("details[open]")].map(({ id }) => id);
  const before = phase();
  page.innerHTML = state.main;
  for (const button of page.querySelectorAll("form button")) button.disabled = paying;
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
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
  page.dispatchEvent(new CustomEvent("shown"));
}

function listen() {
  stream?.close();
  if (ended || document.hidden) return;
  if (failures >= FAILURES_MAX || !("EventSource" in window)) { refresh(); return; }
  stream = new EventSource(`${invoice}/events?${query}`);
  stream.addEventListener("clock", ({ data }) => { failures = 0; tellTime(Number(data)); });
  stream.addEventListener("state", ({ data }) => take(JSON.parse(data)));
  stream.addEventListener("end", () => stream.close());
  stream.addEventListener("error", () => {
    failures += 1;
    // One that was refused does not come again by itself.
    if (stream.readyState === EventSource.CLOSED || failures >= FAILURES_MAX) {
      stream.close();
      refresh();
    }
  });
}

async function refresh() {
  clearTimeout(timer);
  let wait = RETRY_MS;
  try {
    // The browser asks with what it has; if nothing changed, that is all there is to send.
    const answer = await fetch(`${invoice}/state?${query}`, { cache: "no-cache" });
    const told = Date.parse(answer.headers.get("date"));
    if (told) tellTime(told / 1000);
    if (answer.ok) {
      const state = await answer.json();
      take(state);
      wait = state.ask_again_ms;
    }
  } catch {
    // Offline: what is shown stays true as of its moment, and we ask again.
  }
  clearTimeout(timer);
  const streams = stream && stream.readyState !== EventSource.CLOSED;
  if (wait && !document.hidden && !streams) timer = setTimeout(refresh, wait);
}

function countDown() {
  const clock = document.getElementById("countdown");
  if (!clock || serverEpoch === null) return;
  const now = serverEpoch + performance.now() / 1000;
  const left = Math.max(0, Math.floor(Number(clock.dataset.deadline) - now));
  const minutes = Math.floor(left / 60);
  const time = `${minutes}:${String(left % 60).padStart(2, "0")}`;
  clock.textContent = holdsFor.replace("{time}", time);
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
  const before = button.textContent;
  if (before === copied) return;
  button.textContent = copied;
  announcer.textContent = copied;
  setTimeout(() => { button.textContent = before; announcer.textContent = ""; }, 1500);
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

page.addEventListener("submit", async (event) => {
  if (!event.target.classList.contains("sandbox")) return;
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

// What was missed in sleep is made good at once; a page that nobody sees holds no stream.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); clearTimeout(timer); return; }
  failures = 0;
  refresh();
  listen();
});
setInterval(countDown, 1000);
listen();
