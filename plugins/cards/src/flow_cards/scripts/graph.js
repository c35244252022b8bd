/* A graph that is larger than its place shows the step that is lit first. */
"use strict";
flowCard.mount("figure.graph", (figure) => {
  const lit = figure.querySelector(".lit");
  if (lit === null) return;
  const place = figure.getBoundingClientRect();
  const box = lit.getBoundingClientRect();
  figure.scrollLeft += box.left + box.width / 2 - place.left - place.width / 2;
  figure.scrollTop += box.top + box.height / 2 - place.top - place.height / 2;
});
