/* Keeps a page of `flow card server` up to date: only such pages carry it.
 *
 * The server sends which parts the page has now, each with a hash, and the HTML of those that are new.
 * What stays is not touched; the place that is read stays where it is on the screen. After an
 * interruption, also when the server was started anew, the next event says all again.
 */
"use strict";
(() => {
  const home = JSON.parse(document.body.dataset.live);
  const main = document.querySelector("main");
  const header = document.querySelector("header");
  const loaded = new Set(home.scripts);
  const sign = document.createElement("p");
  let source = null;
  let over = false;
  let waiting = 0;
  let heard = 0;
  let work = Promise.resolve();

  const say = (state, text) => {
    sign.className = `live ${state}`;
    if (sign.textContent !== text) sign.textContent = text;
  };

  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };

  const makePart = (hash, html) => {
    const part = document.createElement("div");
    part.className = "part";
    part.dataset.hash = hash;
    part.append(parse(html));
    return part;
  };

  const parts = () => [...main.children].filter((one) => one.classList.contains("part"));

  /* Show these parts: [hash, HTML or null], where null is one that stands in the page already. */
  const show = (wanted) => {
    const old = parts();
    const stay = new Set(wanted.map(([hash]) => hash));
    const byHash = new Map();
    for (const part of old) {
      const same = byHash.get(part.dataset.hash) || [];
      byHash.set(part.dataset.hash, [...same, part]);
    }
    const anchor = old.findIndex((part) => part.getBoundingClientRect().bottom > 0);
    const top = anchor < 0 ? 0 : old[anchor].getBoundingClientRect().top;
    const scrolled = window.scrollY;
    const kept = new Set();
    wanted.forEach(([hash, html], place) => {
      const present = parts()[place];
      const same = (byHash.get(hash) || []).shift();
      if (same) {
        kept.add(same);
        if (same !== present) main.insertBefore(same, present || null);
      } else if (html !== null) {
        const fresh = makePart(hash, html);
        kept.add(fresh);
        if (present && !kept.has(present) && !stay.has(present.dataset.hash)) {
          flowCard.replace(present, fresh); // the same component with other data
        } else {
          main.insertBefore(fresh, present || null);
          flowCard.start(fresh);
        }
      } else {
        throw new Error(`a part is missing: ${hash}`); // then all is asked for again
      }
    });
    for (const part of parts()) if (!kept.has(part)) part.remove();
    const after = parts()[anchor];
    if (after && scrolled > 0) window.scrollBy(0, after.getBoundingClientRect().top - top);
  };

  const setHeader = (html) => {
    if (header.dataset.html === html) return;
    header.dataset.html = html;
    header.replaceChildren(parse(html));
  };

  /* Run a script of ours; the policy of the page lets no other one run. */
  const run = (text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.body.append(script);
  };

  const load = async (names) => {
    for (const name of names) {
      if (loaded.has(name)) continue;
      const answer = await fetch(`/script/${name}.js`);
      if (!answer.ok) throw new Error(`/script/${name}.js: ${answer.status}`);
      run(await answer.text());
      loaded.add(name);
    }
  };

  const update = async (event) => {
    const told = JSON.parse(event.data);
    if (told.framed || document.body.classList.contains("framed")) {
      location.reload(); // what stands in the frame is a page of its own
      return;
    }
    await load(told.scripts);
    if (document.title !== told.title) document.title = told.title;
    setHeader(told.header);
    show(told.parts);
    say("on", told.sign);
  };

  /* The task has ended, and its card is a file: show that. */
  const follow = async (event) => {
    const told = JSON.parse(event.data);
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error(`${location.href}: ${answer.status}`);
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (made.body.classList.contains("framed") || document.body.classList.contains("framed")) {
      location.reload(); // the browser keeps the scroll position
      return;
    }
    const texts = new Set([...document.body.querySelectorAll(":scope > script")].map((s) => s.textContent));
    for (const script of made.body.querySelectorAll(":scope > script")) {
      if (!texts.has(script.textContent)) run(script.textContent);
    }
    document.title = made.title;
    setHeader(made.querySelector("header").innerHTML);
    const found = [...made.querySelectorAll("main > .part")].map((part) => part.innerHTML);
    show(found.map((html, n) => [`${told.hash}-${n}`, html]));
    document.body.dataset.made = told.hash;
    over = told.over;
    say(over ? "" : "on", told.sign);
    if (over) source.close();
  };

  /* Do one thing after the other. What goes wrong is seen on the sign, and tried again. */
  const queue = (action) => (event) => {
    work = work.then(() => action(event)).catch((error) => {
      console.error(error);
      retry();
    });
  };

  const retry = () => {
    say("off", "disconnected, trying again");
    source.close();
    clearTimeout(waiting);
    waiting = setTimeout(connect, 1000, true);
  };

  function connect(anew) {
    if (over || document.hidden) return;
    clearTimeout(waiting);
    if (source) source.close();
    source = new EventSource(anew ? home.events : `${home.events}&state=${home.state}`);
    heard = Date.now();
    for (const name of ["parts", "made", "same", "beat"]) {
      source.addEventListener(name, () => { heard = Date.now(); });
    }
    source.addEventListener("parts", queue(update));
    source.addEventListener("made", queue(follow));
    source.addEventListener("same", (event) => say("on", JSON.parse(event.data).sign));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) retry();
      else say("off", "disconnected, trying again");
    });
  }

  // A network that has gone, as when a laptop slept, says nothing; the server does every 5 seconds.
  setInterval(() => {
    if (source && !over && !document.hidden && Date.now() - heard > 20000) retry();
  }, 5000);

  sign.setAttribute("role", "status");
  say("off", "connecting");
  document.body.append(sign);
  // A browser keeps few connections to a server: pages that nobody sees hold none.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) connect(true);
    else if (source) source.close();
  });
  connect(false);
})();
