/* What all scripts of a card share. A script says what it makes of which elements:
 *
 *     flowCard.mount("figure.table", (figure) => { … });
 *
 * and is given those that the page has now, and those that a live page gets later. An element is given
 * once. What is drawn in the page already works without any of them; they only make it handier.
 *
 * What a reader has done to an element (how a table is sorted, which tab is open) outlives new content.
 * A script that has such a state returns how it is had and set again:
 *
 *     flowCard.mount("figure.table", (figure) => {
 *       …
 *       return { save: () => state, restore: (state) => { … } };
 *     });
 *
 * A live page puts new content in the place of old by
 *
 *     flowCard.replace(old, fresh);
 *
 * which starts what is new in it, gives each element the state of the one that stood in its place (the
 * same selector, at the same position among those in `old`), and keeps the focus. Who changes the page in
 * another way calls flowCard.save(old) before it, then flowCard.start(fresh) and
 * flowCard.restore(fresh, saved).
 */
"use strict";
const flowCard = {
  mounts: [],

  /* Call start(element) for each element that selector finds, now and later. */
  mount(selector, start) {
    flowCard.mounts.push({ selector, start, started: new WeakMap() });
    flowCard.start(document.body);
  },

  /* Start what is new in root: after the page has got other content. */
  start(root) {
    for (const { selector, start, started } of flowCard.mounts) {
      for (const element of flowCard.all(root, selector)) {
        if (started.has(element)) continue;
        started.set(element, null);
        flowCard.attempt(() => started.set(element, start(element) || null));
      }
    }
  },

  /* The state of all that was started in root; for `restore`. */
  save(root) {
    return flowCard.mounts.map(({ selector, started }) =>
      flowCard.all(root, selector).map((element) => {
        const handle = started.get(element);
        return handle && handle.save && flowCard.attempt(() => ({ state: handle.save() }));
      }),
    );
  },

  /* Give what was started in root the state that `save` returned. */
  restore(root, saved) {
    saved.forEach((states, number) => {
      const { selector, started } = flowCard.mounts[number];
      const elements = flowCard.all(root, selector);
      states.forEach((one, index) => {
        const handle = elements[index] && started.get(elements[index]);
        if (one && handle && handle.restore) flowCard.attempt(() => handle.restore(one.state));
      });
    });
  },

  /* Put the element fresh in the place of old, and keep what the reader has done to that. */
  replace(old, fresh) {
    const saved = flowCard.save(old);
    const focusable = "a, button, input, select, summary, textarea, [tabindex]";
    const focused = flowCard.all(old, focusable).indexOf(document.activeElement);
    const chosen = focused < 0 ? [] : [document.activeElement.selectionStart, document.activeElement.selectionEnd];
    old.replaceWith(fresh);
    flowCard.start(fresh);
    flowCard.restore(fresh, saved);
    const next = focused < 0 ? null : flowCard.all(fresh, focusable)[focused];
    if (next) {
      next.focus({ preventScroll: true });
      if (next.setSelectionRange && chosen[0] != null) next.setSelectionRange(...chosen);
    }
  },

  /* What selector finds in root, root itself too. */
  all(root, selector) {
    const inside = [...root.querySelectorAll(selector)];
    return root.matches(selector) ? [root, ...inside] : inside;
  },

  /* Return what action returns; when it fails, say so, and let the others go on. */
  attempt(action) {
    try {
      return action();
    } catch (error) {
      console.error(error);
      return null;
    }
  },

  /* The JSON data in an element: <script type="application/json" class="data">. */
  data(element) {
    const own = element.querySelector(":scope > script.data");
    return JSON.parse((own || element.querySelector("script.data")).textContent);
  },

  /* A button which copies what text() returns, and says that it has; also in a page from disk. */
  copyButton(text) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    const say = (word) => {
      button.textContent = word;
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
    button.addEventListener("click", async () => {
      const copied = text();
      try {
        await navigator.clipboard.writeText(copied);
        say("Copied");
      } catch {
        say(flowCard.copyBySelection(copied, button) ? "Copied" : "Not allowed here");
      }
    });
    return button;
  },

  copyBySelection(text, near) {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    near.after(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    near.focus({ preventScroll: true });
    return copied;
  },
};

/* What was written last is seen first. In what is folded, nothing scrolls before it is opened. */
flowCard.mount("pre.from-end", (element) => {
  const seen = new ResizeObserver(() => {
    if (!element.clientHeight) return;
    element.scrollTop = element.scrollHeight;
    seen.disconnect();
  });
  element.scrollTop = element.scrollHeight;
  if (!element.clientHeight) seen.observe(element);
});
flowCard.mount("details", (details) => ({
  save: () => details.open,
  restore: (open) => { details.open = open; },
}));
/* A text that was scrolled stays where it was; one that was at its end follows what is added. */
flowCard.mount("pre, .scroll", (element) => ({
  save() {
    const rest = element.scrollHeight - element.clientHeight - element.scrollTop;
    return [element.scrollLeft, element.scrollTop && rest < 2 ? Infinity : element.scrollTop];
  },
  restore([left, top]) {
    element.scrollLeft = left;
    element.scrollTop = Math.min(top, element.scrollHeight);
  },
}));
