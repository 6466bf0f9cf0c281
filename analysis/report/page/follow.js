"use strict";
// Follows the file that the page is in, and finds back after loading it again.
(() => {
  const seconds = JSON.parse(document.getElementById("follow").textContent);
  const figures = [...document.querySelectorAll("figure")];
  const key = `raybs ${location.pathname}`;

  // Where an element is: what it is in that has an id, and its number therein.
  const FOCUSABLE = "a, button, select, summary, [tabindex]";
  function place(element) {
    const within = element?.closest("[id]");
    const number = within && [...within.querySelectorAll(FOCUSABLE)].indexOf(element);
    return number >= 0 ? [within.id, number] : null;
  }

  function remember() {
    const near = [...document.querySelectorAll("main [id]")].filter(
      (item) => item.getClientRects().length && item.getBoundingClientRect().top <= 80,
    );
    const anchor = near.at(-1);
    const value = {
      anchor: anchor && [anchor.id, anchor.getBoundingClientRect().top],
      top: scrollY,
      open: [...document.querySelectorAll("details[open][id]")].map(({ id }) => id),
      picks: figures.map((figure) => [figure.id, figure.querySelector(".pick")?.value]),
      heights: figures.map((figure) => [figure.id, figure.offsetHeight]),
      focus: place(document.activeElement),
    };
    sessionStorage.setItem(key, JSON.stringify(value));
    history.scrollRestoration = "manual";
  }

  function recall() {
    const text = sessionStorage.getItem(key);
    if (!text) return;
    sessionStorage.removeItem(key);
    const { anchor, top, open, picks, heights, focus } = JSON.parse(text);
    const find = (id) => (id ? document.getElementById(id) : null);
    for (const id of open) if (find(id)) find(id).open = true;
    for (const [id, height] of heights) if (find(id)) find(id).style.minHeight = `${height}px`;
    for (const [id, value] of picks) {
      const list = find(id)?.querySelector(".pick");
      if (value && list) list.value = value;
      if (list?.selectedIndex === -1) list.value = "null"; // it is there no more
    }
    const near = focus && find(focus[0])?.querySelectorAll(FOCUSABLE)[focus[1]];
    near?.focus({ preventScroll: true });
    const kept = anchor && find(anchor[0]);
    scrollTo(0, kept ? scrollY + kept.getBoundingClientRect().top - anchor[1] : top);
    history.scrollRestoration = "auto"; // from here on the browser's own
  }

  function follow() {
    const { stamp, written } = document.documentElement.dataset;
    const said = document.getElementById("written");
    said.textContent = written;
    said.parentElement.hidden = false;
    let frame = null;
    addEventListener("message", ({ source, data }) => {
      if (!frame || source !== frame.contentWindow || !data?.raybs) return;
      if (data.written) said.textContent = data.written;
      if (data.raybs === stamp) return;
      try {
        remember();
      } finally {
        location.reload();
      }
    });
    setInterval(() => {
      if (document.hidden) return;
      frame?.remove();
      frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "The same file, as it is now";
      frame.setAttribute("sandbox", "allow-scripts");
      // Another address than this page's, or browsers would not load it within itself.
      frame.src = `?live=${Date.now()}`;
      document.body.append(frame);
    }, 1000 * seconds);
  }

  try {
    recall();
  } catch (error) {
    console.warn(error); // a page from another time: start at its top
  }
  if (seconds) follow();
})();
