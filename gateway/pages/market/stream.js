// How does the page hear what happens? One WebSocket that is opened again when it is lost, and says
// then again who we are and what we follow.

const RETRY_MS = 500, RETRY_MS_MAX = 15_000;

export class Stream extends EventTarget {
  #socket = null;
  #heard = new Map();
  #private = new Set(["orders", "balances"]);
  #token = "";
  #attempts = 0;

  // `follow` may be called before `open`; `take` gets each frame of the channel.
  follow(channel, take) {
    this.#heard.set(channel, take);
    if (this.#may(channel)) this.#say({ op: "subscribe", channel });
  }

  leave(channel) {
    if (this.#heard.delete(channel)) this.#say({ op: "unsubscribe", channel });
  }

  // Ask for a channel's snapshot once more, after a gap.
  again(channel) {
    this.#say({ op: "subscribe", channel });
  }

  logIn(token) {
    this.#token = token;
    this.#sayWhoWeAre();
  }

  logOut() {
    this.#token = "";
    for (const channel of this.#private) this.leave(channel);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = this.#socket = new WebSocket(`${scheme}://${location.host}/v1/stream`);
    socket.onopen = () => {
      this.#attempts = 0;
      for (const channel of this.#heard.keys()) {
        if (!this.#private.has(channel)) this.#say({ op: "subscribe", channel });
      }
      if (this.#token) this.#sayWhoWeAre();
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = ({ data: text }) => this.#take(JSON.parse(text));
    socket.onclose = () => {
      this.dispatchEvent(new Event("lost"));
      this.#attempts += 1;
      setTimeout(() => this.open(), Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** this.#attempts));
    };
  }

  #may(channel) {
    return !this.#private.has(channel) || this.#token !== "";
  }

  #sayWhoWeAre() {
    this.#say({ op: "login", token: this.#token });
    for (const channel of this.#private) {
      if (this.#heard.has(channel)) this.#say({ op: "subscribe", channel });
    }
  }

  #say(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #take(frame) {
    if (frame.channel === undefined) {
      if (frame.error) this.dispatchEvent(new CustomEvent("refused", { detail: frame.error }));
      return;
    }
    this.#heard.get(frame.channel)?.(frame);
  }
}
