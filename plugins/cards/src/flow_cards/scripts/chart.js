/* Draws charts: <figure class="chart"> with a specification of Vega-Lite or Vega in its data. */
"use strict";
(() => {
  const charts = new Set();
  const latest = new Map(); // where on the page → the chart that stands there, or stood there

  const LARGE = 300000; // characters of a specification from which on the marks are pixels, not elements
  const HIDDEN_WIDTH = 640;
  const ERRORS = 1; // of the levels of what Vega says on the console
  const PICTURES = /^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/;

  function refuse(uri) {
    return Promise.reject(new Error(`a card fetches nothing: ${uri}`));
  }
  const loader = {
    load: refuse,
    http: refuse,
    file: refuse,
    sanitize(uri, options) {
      const link = options && options.context === "href";
      const fine = link ? /^(https?:|mailto:)/i.test(uri) : PICTURES.test(uri);
      if (!fine) return refuse(uri);
      return Promise.resolve({ href: uri, target: "_blank", rel: "noopener noreferrer" });
    },
  };

  /* What the page looks like, as Vega's config. Colours stay names of the page's tokens, which follow the
   * theme and paper by themselves, where the marks are elements; for pixels and files they are resolved. */
  function look(resolved, background) {
    const tokens = getComputedStyle(document.documentElement);
    const known = (name) => tokens.getPropertyValue(`--${name}`).trim();
    const color = (name) => (resolved ? known(name) : `var(--${name})`);
    const font = known("text");
    const [ink, quiet, line] = ["ink", "quiet", "line"].map(color);
    const series = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => color(`series-${n}`));
    const ramp = [known("ramp-low"), known("ramp-high")];
    const labels = { labelColor: quiet, titleColor: quiet, labelFont: font, titleFont: font };
    const sizes = { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
    return {
      background: background ? known("paper") : null,
      font,
      aria: false, // the drawing has one text as a whole; its marks have none
      padding: 4,
      title: { color: ink, subtitleColor: quiet, font, subtitleFont: font, fontSize: 14, fontWeight: 600, anchor: "start", offset: 12 },
      axis: { ...labels, ...sizes, domainColor: line, gridColor: line, tickColor: line, tickSize: 4, labelPadding: 6, titlePadding: 10 },
      axisY: { domain: false, ticks: false },
      axisX: { grid: false },
      axisXQuantitative: { labelOverlap: true, labelSeparation: 8 },
      legend: { ...labels, ...sizes, symbolStrokeWidth: 2 },
      header: { ...labels, ...sizes },
      view: { stroke: null, continuousHeight: 260 },
      mark: { color: series[0], tooltip: true, aria: false },
      line: { strokeWidth: 2, strokeCap: "round", strokeJoin: "round" },
      area: { fillOpacity: 0.25, line: true },
      bar: { cornerRadiusEnd: 2 },
      point: { size: 45 },
      arc: { stroke: color("paper"), strokeWidth: 1 },
      text: { color: ink, font },
      rule: { color: quiet },
      trail: { color: series[0] },
      boxplot: { size: 28, median: { color: color("paper") }, rule: { color: quiet } },
      errorbar: { color: quiet },
      style: { "guide-label": { fill: quiet, font }, "guide-title": { fill: quiet, font }, "group-title": { fill: ink, font } },
      range: {
        category: series,
        ramp,
        heatmap: ramp,
        ordinal: ramp,
        diverging: [known("bad"), known("soft"), known("accent")],
      },
    };
  }

  function language(spec) {
    const schema = String(spec.$schema || "");
    if (/\/vega\/v/.test(schema)) return "vega";
    return !schema && Array.isArray(spec.marks) ? "vega" : "vega-lite";
  }

  /* Whether a chart is as wide as there is room: one view, whose width nobody has said. */
  function isFlexible(spec, mode) {
    if (mode === "vega") return false;
    if (spec.width !== undefined && spec.width !== "container") return false;
    const many = ["concat", "hconcat", "vconcat", "facet", "repeat", "spec"];
    const encoding = spec.encoding || {};
    return (
      !many.some((name) => name in spec) &&
      !["row", "column", "facet"].some((name) => name in encoding)
    );
  }

  /* Whether the names along the x axis fit side by side. */
  function fits(spec, width) {
    const field = spec.encoding && spec.encoding.x && spec.encoding.x.field;
    const data = spec.data || {};
    const rows = data.values || (spec.datasets || {})[data.name];
    if (!field || !Array.isArray(rows)) return false;
    const names = [...new Set(rows.map((row) => String(row && row[field])))];
    const longest = Math.max(...names.map((name) => name.length));
    return names.length < 100 && names.length * (longest * 7 + 10) < width - 60;
  }

  // --- what is told of the mark below the pointer ------------------------------------------------

  let tip = null;
  function tell(handler, event, item, value) {
    if (tip) tip.remove();
    tip = null;
    if (value === null || value === undefined || value === "") return;
    tip = document.createElement("div");
    tip.className = "chart-tip";
    const pairs = typeof value === "object" ? Object.entries(value) : [["", value]];
    for (const [name, said] of pairs.slice(0, 12)) {
      const line = document.createElement("p");
      const title = document.createElement("span");
      title.textContent = name;
      const text = typeof said === "object" ? JSON.stringify(said) : String(said);
      line.append(title, ` ${text.slice(0, 200)}`);
      tip.append(line);
    }
    document.body.append(tip);
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 12, innerWidth - box.width - 8);
    const below = event.clientY + 14 + box.height < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? event.clientY + 14 : event.clientY - box.height - 10}px`;
  }

  // --- drawing -----------------------------------------------------------------------------------

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.drawing = figure.querySelector(".drawing");
      this.fallback = figure.querySelector(".fallback");
      this.turn = 0;
      this.view = null;
      this.failed = false; // then its data is shown in its place
      this.fallback.hidden = true;
      this.drawing.classList.add("waiting");
      figure.querySelector(".unscripted").remove();
      this.takeOver();
      this.read();
      this.draw();
      new ResizeObserver(() => this.resize()).observe(figure);
      const script = figure.querySelector("script.data");
      const changed = () => {
        this.read();
        this.draw();
      };
      new MutationObserver(changed).observe(script, { childList: true, characterData: true, subtree: true });
    }

    read() {
      this.given = flowCard.data(this.figure);
      this.text = JSON.stringify(this.given.spec);
      this.mode = language(this.given.spec);
      this.flexible = isFlexible(this.given.spec, this.mode);
      this.large = this.text.length > LARGE;
      if (this.given.controls && !this.figure.querySelector(".controls")) this.addControls();
    }

    /* Show what stood here until now while the new chart is drawn: a live page does not flicker. */
    takeOver() {
      const part = this.figure.closest(".part") || document.body;
      const parts = [...document.querySelectorAll(".part")];
      const number = [...part.querySelectorAll("figure.chart")].indexOf(this.figure);
      const place = `${part.id || parts.indexOf(part)}/${number}`;
      const before = latest.get(place);
      latest.set(place, this);
      if (before && !before.figure.isConnected) {
        this.drawing.replaceChildren(...before.drawing.childNodes);
        this.view = before.view;
        before.view = null;
        this.drawing.classList.replace("waiting", "drawn");
      }
      for (const chart of charts) if (!chart.figure.isConnected) chart.end();
      charts.add(this);
    }

    end() {
      charts.delete(this);
      if (this.view) this.view.finalize();
      this.view = null;
    }

    width() {
      return Math.floor(this.drawing.clientWidth) || HIDDEN_WIDTH;
    }

    /* Draw aside; what is there is replaced when the new one is ready. */
    async draw() {
      const turn = ++this.turn;
      const aside = document.createElement("div");
      aside.className = "aside";
      this.figure.append(aside);
      try {
        const width = this.width();
        const result = await this.embed(aside, this.large ? "canvas" : "svg", this.large, width);
        if (turn !== this.turn) {
          result.view.finalize();
          return;
        }
        if (this.view) this.view.finalize();
        this.view = result.view;
        this.drawnWidth = width;
        this.show(aside);
      } catch (error) {
        if (turn === this.turn) this.fail(error);
      } finally {
        if (aside.parentNode === this.figure) aside.remove();
      }
    }

    embed(element, renderer, resolved, width, background = false) {
      const spec = JSON.parse(this.text); // a copy: Vega writes into what it is given
      delete spec.usermeta; // in which a specification could ask for a loader of its own
      delete spec.$schema;
      const config = look(resolved, background);
      const fill = this.flexible && spec.autosize === undefined;
      if (this.flexible) {
        if (fits(spec, width)) config.axisXDiscrete = { labelAngle: 0 };
        spec.width = width;
      }
      return vegaEmbed(element, spec, {
        mode: this.mode,
        renderer,
        ast: true, // the page's policy lets no text become code
        actions: false,
        defaultStyle: false,
        loader,
        tooltip: tell,
        logLevel: ERRORS,
        config,
        // Said of what Vega-Lite has made: itself, it warns where the height follows from the rows.
        patch: (made) => (fill ? { ...made, autosize: { type: "fit-x", contains: "padding" } } : made),
      });
    }

    show(aside) {
      const picture = aside.querySelector("svg.marks, canvas.marks");
      if (picture) {
        for (const part of picture.querySelectorAll("[role]")) {
          for (const name of ["role", "aria-label", "aria-roledescription"]) part.removeAttribute(name);
        }
        picture.setAttribute("role", "img");
        picture.setAttribute("aria-label", this.given.alt);
      }
      aside.className = "";
      this.drawing.replaceChildren(aside);
      this.drawing.classList.replace("waiting", "drawn");
      if (this.failed) this.fallback.hidden = true;
      this.failed = false;
    }

    fail(error) {
      const note = document.createElement("p");
      note.className = "problem";
      const what = document.createElement("strong");
      what.textContent = "The chart cannot be drawn.";
      note.append(what, ` Vega says: ${error && error.message ? error.message : error}`);
      this.drawing.replaceChildren(note);
      this.drawing.classList.replace("waiting", "drawn");
      this.failed = true;
      this.fallback.hidden = false;
    }

    resize() {
      const width = this.width();
      if (!this.view || !this.flexible || Math.abs(width - this.drawnWidth) < 2) return;
      this.drawnWidth = width;
      this.view.width(width).runAsync();
    }

    // --- the buttons below -----------------------------------------------------------------------

    addControls() {
      const row = document.createElement("p");
      row.className = "controls";
      const source = document.createElement("pre");
      source.className = "specification";
      source.tabIndex = 0;
      source.hidden = true;
      const add = (text, act) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        button.addEventListener("click", () => act(button));
        row.append(button);
        return button;
      };
      const toggle = (text, what) => {
        const button = add(text, () => {
          const shown = what();
          shown.hidden = !shown.hidden;
          button.setAttribute("aria-expanded", String(!shown.hidden));
        });
        button.setAttribute("aria-expanded", "false");
      };
      add("Save as SVG", () => this.save("svg"));
      add("Save as PNG", () => this.save("png"));
      if (this.fallback.querySelector("table")) {
        toggle("Data", () => this.fallback);
      }
      toggle("Specification", () => {
        source.textContent = JSON.stringify(this.given.spec, null, 2);
        return source;
      });
      this.drawing.after(row);
      this.fallback.after(source);
    }

    async save(kind) {
      const aside = document.createElement("div");
      aside.className = "aside";
      this.figure.append(aside);
      try {
        const result = await this.embed(aside, "svg", true, this.width(), true);
        const link = document.createElement("a");
        link.href = await result.view.toImageURL(kind, 2);
        link.download = `chart.${kind}`;
        link.click();
        result.view.finalize();
      } finally {
        aside.remove();
      }
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of charts) if (chart.figure.isConnected) chart.draw();
  });
  flowCard.mount("figure.drawn-by-script", (figure) => {
    const chart = new Chart(figure);
    const toggles = () => [...figure.querySelectorAll(".controls [aria-expanded]")];
    return {
      save: () => toggles().map((button) => button.getAttribute("aria-expanded") === "true"),
      restore: (open) => toggles().forEach((button, n) => open[n] && !chart.failed && button.click()),
    };
  });
})();
