/* One panel at a time, by tabs: https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ */
"use strict";
(() => {
  let count = 0;

  flowCard.mount("div.tabs", (tabs) => {
    const panels = [...tabs.querySelectorAll(":scope > .panel")];
    if (!panels.length) return null;
    const list = document.createElement("div");
    list.setAttribute("role", "tablist");
    const buttons = panels.map((panel) => {
      const button = document.createElement("button");
      count += 1;
      panel.id = `panel-${count}`;
      button.id = `tab-${count}`;
      button.type = "button";
      button.textContent = panel.querySelector(":scope > :is(h2, h3, h4, h5, h6)").textContent;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", button.id);
      return button;
    });
    let chosen = -1;

    const choose = (index) => {
      chosen = index;
      buttons.forEach((button, number) => {
        button.setAttribute("aria-selected", String(number === index));
        button.tabIndex = number === index ? 0 : -1;
        panels[number].hidden = number !== index;
      });
    };
    const last = panels.length - 1;
    const target = {
      ArrowLeft: () => (chosen ? chosen - 1 : last),
      ArrowRight: () => (chosen < last ? chosen + 1 : 0),
      Home: () => 0,
      End: () => last,
    };
    list.addEventListener("keydown", (event) => {
      if (!target[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      choose(target[event.key]());
      buttons[chosen].focus();
    });
    buttons.forEach((button, number) => button.addEventListener("click", () => choose(number)));
    list.append(...buttons);
    tabs.prepend(list);
    tabs.classList.add("ready");
    choose(0);
    return {
      save: () => buttons[chosen].textContent,
      restore(title) {
        const index = buttons.findIndex((button) => button.textContent === title);
        if (index >= 0) choose(index);
      },
    };
  });
})();
