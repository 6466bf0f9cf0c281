"use strict";
// Asked for by an open page, in a frame: say what is new, and load no more than this.
(() => {
  if (window.parent === window || !location.search.startsWith("?live=")) return;
  const { stamp, written } = document.documentElement.dataset;
  window.parent.postMessage({ raybs: stamp, written }, "*");
  window.stop();
})();
