// How has the price moved? Candles and volume, drawn by lightweight-charts (vendored, Apache-2.0),
// fed by REST for what was and by the stream for what is.
//
// The chart draws with floating numbers; they go no further than the picture.

import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineSeries, createChart }
  from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { grouped } from "./amounts.js";
import { byId, element, setText } from "./elements.js";
import { errorWords, locale, t } from "./words.js";

export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d"];
const PAGE = 500, BARS_MAX = 5_000, FEW = 15;
const KEPT = "tillbook-interval";

export class PriceChart {
  #api;
  #stream;
  #terms;
  #interval = "";
  #candles = [];
  #isWhole = false;
  #isLoading = false;
  #chart;
  #prices;
  #line;
  #volumes;

  constructor(api, stream, terms, places) {
    this.#api = api;
    this.#stream = stream;
    this.#terms = terms;
    this.#make(places);
    this.#buttons();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.#paint());
    this.#paint();
  }

  // Show the interval of the last visit; where there is no history yet, one that has something.
  async begin() {
    const kept = localStorage.getItem(KEPT);
    if (INTERVALS.includes(kept)) return this.show(kept);
    await this.show("1m");
    if (this.#candles.length < FEW) await this.show("1s");
    return undefined;
  }

  #make(places) {
    this.#chart = createChart(byId("chart"), {
      autoSize: true,
      layout: { attributionLogo: true, fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.26 } },
      timeScale: { borderVisible: false, timeVisible: true, rightOffset: 4,
        tickMarkFormatter: tickMark },
      localization: { locale, timeFormatter: (time) => whole(time) },
    });
    this.#prices = this.#chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "price", precision: places, minMove: 1 / 10 ** places },
      borderVisible: false,
    });
    this.#line = this.#chart.addSeries(LineSeries, {
      priceFormat: { type: "price", precision: places, minMove: 1 / 10 ** places }, lineWidth: 2,
      visible: false,
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" }, priceScaleId: "volume", lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.#chart.subscribeCrosshairMove(({ time }) => this.#legend(time));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < 10) this.#older();
    });
  }

  #buttons() {
    byId("intervals").replaceChildren(...INTERVALS.map((interval) => element("button", {
      type: "button", "aria-pressed": "false", dataset: { interval },
      onclick: () => { localStorage.setItem(KEPT, interval); this.#choose(interval); },
    }, interval)));
  }

  async #choose(interval) {
    try {
      await this.show(interval);
    } catch (error) {
      setText(byId("chart-told"), errorWords(error));
    }
  }

  #paint() {
    const colour = (name) => getComputedStyle(byId(name)).color;
    const around = getComputedStyle(byId("chart"));
    const line = around.borderTopColor;
    this.#up = colour("best-bid");
    this.#down = colour("best-ask");
    this.#chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: around.backgroundColor },
        textColor: around.color, fontFamily: around.fontFamily },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
    });
    this.#prices.applyOptions({ upColor: this.#up, downColor: this.#down,
      wickUpColor: this.#up, wickDownColor: this.#down });
    this.#line.applyOptions({ color: around.color });
    this.#volumes.setData(this.#candles.map((candle) => this.#volume(candle)));
  }

  #up;
  #down;

  async show(interval) {
    if (this.#interval) this.#stream.leave(this.#channel());
    this.#interval = interval;
    this.#isWhole = false;
    this.#candles = [];
    for (const button of byId("intervals").children) {
      button.setAttribute("aria-pressed", String(button.dataset.interval === interval));
    }
    const { candles } = await this.#page("");
    if (this.#interval !== interval) return;
    this.#candles = candles;
    this.#isWhole = candles.length < PAGE;
    this.#redraw();
    // In one second there is one trade or none: a candle would be a dash.
    const isFine = interval === "1s";
    this.#prices.applyOptions({ visible: !isFine });
    this.#line.applyOptions({ visible: isFine });
    this.#chart.timeScale().applyOptions({ secondsVisible: isFine });
    this.#chart.timeScale().resetTimeScale();
    this.#stream.follow(this.#channel(), (frame) => this.#take(frame));
  }

  #channel() {
    return `candles:${this.#terms.symbol}:${this.#interval}`;
  }

  #page(before) {
    const { symbol } = this.#terms;
    const path = `/v1/markets/${encodeURIComponent(symbol)}/candles`;
    return this.#api.get(`${path}?interval=${this.#interval}&limit=${PAGE}${before}`);
  }

  async #older() {
    if (this.#isWhole || this.#isLoading || this.#candles.length >= BARS_MAX) return;
    if (!this.#candles.length) return;
    this.#isLoading = true;
    const interval = this.#interval;
    try {
      const { candles } = await this.#page(`&before=${this.#candles[0].start}`);
      if (interval !== this.#interval) return;
      this.#isWhole = candles.length < PAGE;
      this.#candles = [...candles, ...this.#candles];
      this.#redraw();
    } catch {
      // Who scrolls back again asks again.
    } finally {
      this.#isLoading = false;
    }
  }

  #redraw() {
    this.#prices.setData(this.#candles.map(bar));
    this.#line.setData(this.#candles.map(dot));
    this.#volumes.setData(this.#candles.map((candle) => this.#volume(candle)));
    this.#legend();
  }

  // A snapshot brings the last candles, an update the one that is under way.
  #take(frame) {
    for (const candle of frame.candles ?? [frame.candle]) this.#put(candle);
    this.#legend();
  }

  #put(candle) {
    const last = this.#candles.at(-1);
    if (last && candle.start < last.start) return;
    if (last && candle.start === last.start) this.#candles[this.#candles.length - 1] = candle;
    else this.#candles.push(candle);
    this.#prices.update(bar(candle));
    this.#line.update(dot(candle));
    this.#volumes.update(this.#volume(candle));
  }

  #volume(candle) {
    const rose = Number(candle.close) >= Number(candle.open);
    return { time: candle.start, value: Number(candle.volume),
      color: faded(rose ? this.#up : this.#down) };
  }

  #legend(time) {
    const candle = (time && this.#candles.find(({ start }) => start === time))
      ?? this.#candles.at(-1);
    if (!candle) return setText(byId("chart-told"), t("no_candles"));
    const { open, high, low, close, volume } = candle;
    const [o, h, l, c] = [open, high, low, close].map(grouped);
    return setText(byId("chart-told"),
      t("candle", { o, h, l, c, v: grouped(volume), symbol: this.#terms.base.symbol }));
  }
}

const bar = ({ start, open, high, low, close }) => ({
  time: start, open: Number(open), high: Number(high), low: Number(low), close: Number(close),
});

const dot = ({ start, close }) => ({ time: start, value: Number(close) });

// The same colour, half seen through, in a notation that the chart reads.
function faded(colour) {
  const [r, g, b] = colour.match(/\d+/g);
  return `rgba(${r}, ${g}, ${b}, 0.35)`;
}

// The chart counts in UTC; people look at their own clock. The kinds are its TickMarkType.
function tickMark(time, kind) {
  const at = new Date(time * 1000);
  const options = [
    { year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" },
    { hour: "2-digit", minute: "2-digit", hour12: false },
    { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false },
  ][kind];
  return at.toLocaleString(locale, options);
}

function whole(time) {
  return new Date(time * 1000).toLocaleString(locale, { day: "2-digit", month: "short",
    hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}
