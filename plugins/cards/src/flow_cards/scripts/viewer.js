/* Data in a tree: a button that copies it, buttons that fold it, and how tall it may be. */
"use strict";
flowCard.mount("figure.viewer", (figure) => {
  const tools = document.createElement("div");
  tools.className = "tools";
  const title = figure.querySelector(":scope > figcaption");
  if (title) tools.append(title);
  const folds = figure.querySelectorAll("details");
  if (folds.length > 1) {
    const button = (name, open) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = "copy";
      made.textContent = name;
      made.addEventListener("click", () => folds.forEach((one, index) => { one.open = open || !index; }));
      return made;
    };
    tools.append(button("Unfold", true), button("Fold", false));
  }
  const text = figure.querySelector(":scope > script.data") && flowCard.data(figure);
  if (text !== null) tools.append(flowCard.copyButton(() => text));
  if (tools.childElementCount) figure.prepend(tools);
  if (figure.dataset.height) figure.querySelector(".scroll").style.maxHeight = figure.dataset.height;
});
