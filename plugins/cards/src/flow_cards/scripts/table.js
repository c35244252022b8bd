/* Tables that are sorted by the titles of their columns, and filtered.
 *
 * A table of up to 200 rows stands in the page: its rows are put into another order, or hidden. A larger
 * one (figure.large) has all its rows as data, see flow_cards/rows.py, and only the rows in view are
 * drawn, all of one height.
 */
"use strict";
(() => {
  const FILTERED = 10; // tables of more rows have a box to filter them
  const PRINTED = 100;
  const TALLEST = 160; // pixels of a row with pictures and the like
  const QUANTITY = /^([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(%|µs|ms|s|min|h|d|B|kB|MB|GB|TB)?$/;
  const UNITS = { µs: 1e-6, ms: 1e-3, min: 60, h: 3600, d: 86400, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
  const collator = new Intl.Collator(undefined, { numeric: true });
  const make = (tag, names = {}) => Object.assign(document.createElement(tag), names);
  const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

  /* A number as flow_cards.wording.number_text writes it. */
  const numberText = (value, digits) => {
    if (Number.isInteger(value)) return grouped(String(value));
    const [whole, decimals] = value.toFixed(digits || 4).split(".");
    return `${grouped(whole)}.${digits ? decimals : decimals.replace(/0+$/, "") || "0"}`;
  };

  /* What is read in a cell: without the data that a component carries for its script. */
  const textOf = (root) => {
    if (!root.querySelector("script")) return root.textContent.trim();
    const copy = root.cloneNode(true);
    copy.querySelectorAll("script").forEach((script) => script.remove());
    return copy.textContent.trim();
  };

  /* By what a cell with components is sorted. */
  const keyOf = (root) => {
    const progress = root.querySelector("progress");
    return progress ? progress.value / progress.max : textOf(root);
  };

  /* Rows that stand in the page. */
  const standingRows = (body) => {
    const rows = [...body.rows];
    return {
      count: rows.length,
      texts: (row) => [...rows[row].cells].map(textOf),
      key(row, column) {
        const cell = rows[row].cells[column];
        if (!cell || cell.classList.contains("empty")) return null;
        if (!cell.classList.contains("number")) return keyOf(cell);
        return Number(cell.dataset.value ?? cell.textContent.replaceAll(",", ""));
      },
      show: (order) => body.replaceChildren(...order.map((row) => rows[row])),
      state: () => null,
      restore() {},
    };
  };

  /* Rows that are data, and how many decimals the numbers of each column have. */
  const dataRows = (data, decimals) => {
    const drawn = new Map(); // texts of cells that are HTML
    const parsed = (cell) => {
      if (!drawn.has(cell)) {
        const template = make("template", { innerHTML: cell.html });
        drawn.set(cell, [keyOf(template.content), textOf(template.content)]);
      }
      return drawn.get(cell);
    };
    const text = (cell, column) => {
      if (typeof cell === "string") return cell;
      if (typeof cell === "number") return numberText(cell, decimals[column]);
      if (cell == null) return "None";
      if (typeof cell === "boolean") return cell ? "True" : "False";
      return Array.isArray(cell) ? cell[1] : parsed(cell)[1];
    };
    return {
      count: data.length,
      cells: (row) => data[row],
      text: (row, column) => text(data[row][column], column),
      texts: (row) => data[row].map(text),
      key(row, column) {
        const cell = data[row][column];
        if (cell == null || typeof cell === "number" || typeof cell === "string") return cell;
        if (typeof cell === "boolean") return text(cell);
        return Array.isArray(cell) ? (cell[0] === null ? null : Number(cell[0])) : parsed(cell)[0];
      },
    };
  };

  /* The number that a text stands for: 12,345, 7 %, 4 min 05 s, 1.5 MB; NaN for other texts. */
  const numberIn = (text) => text.split(/(?<=[a-z])\s+(?=\d)/).reduce((sum, part) => {
    const [, digits, unit] = QUANTITY.exec(part) || [];
    return digits ? sum + Number(digits.replaceAll(",", "")) * (UNITS[unit] || 1) : NaN;
  }, 0);

  /* By what the rows of a column are sorted: numbers before texts, nothing at the end. */
  const ranksOf = (rows, column) => {
    const keys = Array.from({ length: rows.count }, (_, row) => rows.key(row, column));
    const isText = (key) => typeof key === "string" && key !== "";
    const numeric = keys.every((key) => !isText(key) || !Number.isNaN(numberIn(key)));
    const texts = numeric ? [] : inOrder([...new Set(keys.filter(isText))]);
    const rank = new Map(texts.map((text, index) => [text, index]));
    const kinds = new Uint8Array(rows.count), values = new Float64Array(rows.count);
    keys.forEach((key, row) => {
      const number = isText(key) && numeric ? numberIn(key) : key;
      kinds[row] = isText(number) ? 1 : typeof number === "number" && !Number.isNaN(number) ? 0 : 2;
      values[row] = kinds[row] === 0 ? number : kinds[row] === 1 ? rank.get(number) : 0;
    });
    return { kinds, values };
  };

  /* Texts in the order of the reader's language. Comparing so is slow, but takes few steps where texts
   * are nearly in order: so they are brought into one that is cheap, first. */
  const inOrder = (texts) => texts
    .map((text) => [text, simple(text).toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"))])
    .sort(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([text]) => text)
    .sort(collator.compare);
  const simple = (text) => (/[^ -~]/.test(text) ? text.normalize("NFD").replace(/[\u0300-\u036f]/g, "") : text);

  const sorted = ({ kinds, values }, order, sign) => {
    const groups = [[], [], []];
    for (const row of order) groups[kinds[row]].push(row);
    const [numbers, texts, nothing] = groups;
    const compare = (a, b) => sign * (values[a] - values[b]) || a - b;
    const both = [numbers.sort(compare), texts.sort(compare)];
    return [...(sign < 0 ? both.reverse() : both), nothing].flat();
  };

  /* How long the text of a cell can be: to write each number of a large table takes time. */
  const atMost = (cell) => {
    if (typeof cell !== "number") return Infinity;
    const digits = Math.max(1, Math.floor(Math.log10(Math.abs(cell))) + 1);
    return (cell < 0) + digits + Math.floor((digits - 1) / 3) + (Number.isInteger(cell) ? 0 : 5);
  };

  const heightOf = (row) => row.getBoundingClientRect().height; // with fractions of a pixel

  const tableCell = (cell, text) => {
    const td = make("td");
    if (typeof cell === "number" || Array.isArray(cell)) td.className = "number";
    if (cell === null) td.className = "empty";
    if (cell && cell.html) {
      td.append(make("div", { className: "clip", innerHTML: cell.html }));
    } else {
      td.textContent = text;
      if (text.length > 40) td.title = text;
    }
    return td;
  };

  /* Draws the rows in view of a table of which all rows are data. */
  const drawing = (figure, table, rows) => {
    const scroll = figure.querySelector(".scroll");
    const body = table.tBodies[0];
    const columns = Math.max(...rows.cells(0).map((_, n) => n + 1), table.tHead ? table.tHead.rows[0].cells.length : 0);
    const above = make("tr", { className: "space", ariaHidden: "true" }), below = above.cloneNode();
    const components = Array.from({ length: Math.min(rows.count, PRINTED) }, (_, row) => rows.cells(row))
      .some((cells) => cells.some((cell) => cell && cell.html));
    let order = [], from = 0, to = 0, height = 0, printing = false;

    const row = (index) => {
      const cells = rows.cells(order[index]);
      const tr = make("tr", { ariaRowIndex: String(index + 2) });
      tr.append(...cells.map((cell, column) => tableCell(cell, cell && cell.html ? "" : rows.text(order[index], column))));
      tr.style.height = `${height}px`;
      return tr;
    };
    const insert = (index, before) => {
      const tr = row(index);
      body.insertBefore(tr, before);
      if (components) flowCard.start(tr);
    };

    /* How tall a row is, and how wide the columns are: as the longest text of each needs. */
    const measure = () => {
      const longest = Array.from({ length: columns }, () => [0, -1]);
      for (let index = 0; index < rows.count; index++) {
        rows.cells(index).forEach((cell, column) => {
          if ((cell && cell.html) || atMost(cell) <= longest[column][0]) return;
          const length = rows.text(index, column).length;
          if (length > longest[column][0]) longest[column] = [length, index];
        });
      }
      const tallest = components ? Math.max(...[...body.rows].map(heightOf)) : 0;
      const widest = make("tr");
      widest.append(...longest.map(([, index], column) =>
        index < 0 ? make("td") : tableCell(rows.cells(index)[column], rows.text(index, column))));
      body.prepend(widest); // the last one has no line below it
      height = Math.ceil(Math.min(TALLEST, Math.max(tallest, heightOf(widest))));
      const widths = [...widest.cells].map((cell) => cell.getBoundingClientRect().width);
      const group = make("colgroup");
      for (const width of widths) {
        const column = make("col");
        column.style.width = `${width}px`;
        group.append(column);
      }
      table.prepend(group);
      table.style.width = `${widths.reduce((sum, width) => sum + width, 0)}px`;
      table.style.setProperty("--row", `${height}px`);
      table.classList.add("fixed");
      clear();
    };
    const clear = () => {
      body.replaceChildren(above, below);
      from = to = 0;
    };

    const draw = () => {
      if (!scroll.clientWidth && !printing) return; // it stands in what is folded
      if (!height) measure();
      const seen = Math.ceil(scroll.clientHeight / height) + 1;
      const at = Math.floor(scroll.scrollTop / height);
      if (at >= from && Math.min(order.length, at + seen) <= to && to > from && !printing) return;
      const spare = Math.ceil(seen / 2); // above and below what is in view
      const first = printing ? 0 : Math.max(0, Math.min(at, order.length) - spare);
      const last = printing ? Math.min(order.length, PRINTED) : Math.min(order.length, at + seen + spare);
      // Rows that stay are not touched: so what is selected stays so.
      for (; from < Math.min(first, to); from++) above.nextSibling.remove();
      for (; to > Math.max(last, from); to--) below.previousSibling.remove();
      if (from >= to) from = to = first;
      while (from > first) insert(--from, above.nextSibling);
      while (to < last) insert(to++, below);
      above.style.height = `${from * height}px`;
      below.style.height = printing ? "0" : `${(order.length - to) * height}px`;
      above.hidden = from === 0; // it would be a line of its own
      below.hidden = printing || to === order.length;
    };

    table.ariaRowCount = String(rows.count + 1);
    scroll.addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(draw).observe(scroll);
    const print = (on) => {
      printing = on;
      if (height) clear();
      draw();
    };
    addEventListener("beforeprint", () => figure.isConnected && print(true));
    addEventListener("afterprint", () => figure.isConnected && print(false));
    return {
      ...rows,
      show(shown) {
        order = shown;
        if (height) clear();
        if (scroll.scrollTop) scroll.scrollTop = 0; // first: what is drawn is what will be in view
        draw();
      },
      state: () => scroll.scrollTop,
      restore(top) {
        scroll.scrollTop = top;
        draw();
      },
    };
  };

  flowCard.mount("figure.table", (figure) => {
    const table = figure.querySelector("table");
    const body = table.tBodies[0];
    const rows = figure.classList.contains("large")
      ? drawing(figure, table, dataRows(flowCard.data(figure), (figure.dataset.decimals || "").split(" ").map(Number)))
      : standingRows(body);
    if (rows.count < 2) return null;
    const heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
    const names = heads.map((head) => head.textContent);
    const all = Array.from({ length: rows.count }, (_, row) => row);
    const ranks = [];
    let column = -1, sign = 1, words = "", lines = null;
    let filter = null, status = null, shown = all;

    const matching = () => {
      if (!words.trim()) return all;
      lines ||= all.map((row) => rows.texts(row).join("\n").toLowerCase());
      const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
      return all.filter((row) => wanted.every((word) => lines[row].includes(word)));
    };
    const show = () => {
      const found = matching();
      shown = column < 0 ? found : sorted((ranks[column] ||= ranksOf(rows, column)), found, sign);
      rows.show(shown);
      heads.forEach((head, number) => {
        if (number === column) head.ariaSort = sign > 0 ? "ascending" : "descending";
        else head.removeAttribute("aria-sort");
      });
      if (status) {
        const count = grouped(String(rows.count));
        const said = found === all ? `${count} rows` : `${grouped(String(found.length))} of ${count} rows`;
        if (status.textContent !== said) status.textContent = said;
      }
    };
    const sortBy = (number) => {
      if (number !== column) [column, sign] = [number, 1];
      else if (sign > 0) sign = -1;
      else column = -1;
      show();
    };

    heads.forEach((head, number) => {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(number));
      head.append(button);
    });
    if (rows.count > FILTERED) {
      const tools = make("div", { className: "tools" });
      filter = make("input", { type: "search", placeholder: "Filter", ariaLabel: "Filter rows", autocomplete: "off", spellcheck: false });
      filter.addEventListener("input", () => { words = filter.value; show(); });
      status = make("span", { role: "status" });
      const text = () => [names, ...shown.map((row) => rows.texts(row))]
        .filter((cells) => cells.length)
        .map((cells) => cells.map((cell) => cell.replace(/\s+/g, " ")).join("\t")).join("\n");
      tools.append(filter, status, flowCard.copyButton(text));
      figure.prepend(tools);
    }
    figure.classList.add("ready");
    show();
    return {
      save: () => ({ names, column, sign, words, place: rows.state() }),
      restore(state) {
        if (state.names.join("\n") !== names.join("\n")) return; // another table
        ({ column, sign, words } = state);
        if (filter) filter.value = words;
        if (column >= 0 || words) show();
        rows.restore(state.place);
      },
    };
  });
})();
