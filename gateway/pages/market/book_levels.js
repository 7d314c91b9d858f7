// What stands in the book? Levels by tick, a snapshot first and then kept up by differences.

export class Book {
  constructor() {
    this.u = 0;
    this.bids = new Map();
    this.asks = new Map();
    // Nobody tells us any more what is in it: it may be another by now.
    this.isStale = true;
  }

  lose() {
    this.isStale = true;
  }

  // Return whether the frame fits behind the one before it.
  take(frame) {
    if (frame.type === "diff" && frame.prev !== this.u) {
      this.isStale = true;
      return false;
    }
    for (const side of ["bids", "asks"]) {
      if (frame.type === "snapshot") this[side].clear();
      for (const level of frame[side]) {
        if (level.lots) this[side].set(level.price_ticks, level);
        else this[side].delete(level.price_ticks);
      }
    }
    this.u = frame.u;
    this.isStale = false;
    return true;
  }

  best(side, count = Infinity) {
    const sign = side === "bids" ? -1 : 1;
    return [...this[side].values()]
      .sort((a, b) => sign * (a.price_ticks - b.price_ticks))
      .slice(0, count);
  }

  // [ticks, lots] as BigInt, best first: what an order of `side` would meet.
  opposite(side) {
    return this.best(side === "buy" ? "asks" : "bids")
      .map((level) => [BigInt(level.price_ticks), BigInt(level.lots)]);
  }
}
