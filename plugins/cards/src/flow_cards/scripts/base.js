/* What all scripts of a card share. A script says what it makes of which elements:
 *
 *     flowCard.mount("table.sortable", (table) => { … });
 *
 * and is given those that the page has now, and those that a live page gets later. An element is given
 * once. What is drawn in the page already works without any of them; they only make it handier.
 */
"use strict";
const flowCard = {
  mounts: [],

  /* Call start(element) for each element that selector finds, now and later. */
  mount(selector, start) {
    flowCard.mounts.push([selector, start, new WeakSet()]);
    flowCard.start(document.body);
  },

  /* Start what is new in root: after the page has got other content. */
  start(root) {
    for (const [selector, start, started] of flowCard.mounts) {
      const inside = [...root.querySelectorAll(selector)];
      for (const element of root.matches(selector) ? [root, ...inside] : inside) {
        if (started.has(element)) continue;
        started.add(element);
        try {
          start(element);
        } catch (error) {
          console.error(error); // the others still start
        }
      }
    }
  },

  /* The JSON data in an element: <script type="application/json" class="data">. */
  data(element) {
    return JSON.parse(element.querySelector("script.data").textContent);
  },
};
