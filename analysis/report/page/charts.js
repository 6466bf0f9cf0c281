"use strict";
// Draws the charts, as wide as there is room, and as light or dark as the page.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const stored = read("datasets");
  const { dark } = read("look");
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const figures = [...document.querySelectorAll("figure")];
  const drawn = new Map(); // figure: its view, and the width it is drawn for

  const SPACING = 20; // between panels: Vega-Lite's own
  const AROUND = 66; // of a panel: the y axis with its title
  const SMALLEST = 230; // panels shrink to this before they are stacked
  const NARROW = 640; // of a figure: legends go below, in one column
  const BELOW = {
    orient: "bottom",
    symbolDirection: "vertical",
    gradientDirection: "horizontal",
    layout: { bottom: { direction: "vertical", anchor: "start" } },
  };

  // ---- data and specs

  function rows({ size, columns }) {
    const names = Object.keys(columns);
    return Array.from({ length: size }, (_, i) =>
      Object.fromEntries(
        names.map((name) => {
          const held = columns[name];
          return [name, Array.isArray(held) ? held[i] : held.of[held.at[i]]];
        }),
      ),
    );
  }

  function datasets(spec) {
    const named = {};
    visit(spec, ({ data }) => {
      if (data?.name in stored) named[data.name] ??= rows(stored[data.name]);
    });
    return named;
  }

  // Calls `act` on a spec and on all specs within.
  function visit(spec, act) {
    act(spec);
    for (const name of ["hconcat", "vconcat", "concat", "layer"])
      for (const part of spec[name] ?? []) visit(part, act);
  }

  function panels(spec) {
    const parts = spec.hconcat ?? spec.vconcat ?? spec.concat;
    return parts ? parts.flatMap(panels) : [spec];
  }

  function merged(one, other) {
    if (!other || typeof other !== "object" || Array.isArray(other)) return other;
    const both = { ...one };
    for (const [name, value] of Object.entries(other)) both[name] = merged(both[name], value);
    return both;
  }

  // An expression for a label in lines: cut short, those of one sweep look the same.
  function wrapped(label) {
    const lines = `replace(${label}, regexp('(.{12,36})(, | -> )(?=.{9})', 'g'), '$1$2\\n')`;
    return `split(${lines}, '\\n')`;
  }

  // How many panels fit side by side, and how wide each may be.
  function places(all, width, most) {
    for (let number = Math.min(most, all.length); number > 1; number--) {
      const room = (width - (number - 1) * SPACING) / number - AROUND;
      const widest = Math.max(...all.map((panel) => panel.width ?? 0));
      if (room >= Math.min(widest, Math.max(SMALLEST, 0.68 * widest))) return [number, room];
    }
    return [1, width - AROUND];
  }

  // The spec for a figure of that width: panels in rows, none too wide.
  function arranged(original, width, number, room, isDark) {
    const spec = structuredClone(original);
    const all = panels(spec);
    for (const panel of all) if (panel.width > room) panel.width = Math.floor(room);
    if (all[0] !== spec) {
      for (const name of ["hconcat", "vconcat"]) delete spec[name];
      Object.assign(spec, { concat: all, columns: number });
    }
    const legend = width < NARROW ? BELOW : {};
    spec.config = merged(spec.config, {
      font: getComputedStyle(document.body).getPropertyValue("--sans"),
      axis: { labelSeparation: 4 },
      legend: { ...legend, symbolOpacity: 1, titleFontWeight: "normal", titleLimit: width - 40 },
      background: "transparent",
    });
    if (isDark) spec.config = merged(spec.config, dark);
    visit(spec, (part) => {
      // A finger on a chart is to scroll the page. What asks whether a chart is zoomed,
      // as marks do before they are clipped, finds that it never is.
      if (coarse && part.params)
        part.params = part.params.map((p) => (p.bind === "scales" ? { name: p.name, value: {} } : p));
      for (const channel of Object.values(part.encoding ?? {})) {
        if (width < NARROW && channel.legend) {
          Object.assign(channel.legend, {
            columns: 1,
            labelExpr: wrapped(channel.legend.labelExpr ?? "datum.label"),
            labelLimit: width - 100,
            titleLimit: width - 40,
          });
        }
      }
    });
    spec.datasets = datasets(spec);
    return spec;
  }

  // ---- drawing

  async function draw(figure, isDark = darkness.matches) {
    const box = figure.querySelector(".chart");
    const width = box.clientWidth;
    const before = drawn.get(figure);
    const turn = (before?.turn ?? 0) + 1;
    drawn.set(figure, { ...before, turn, width, isDark });
    try {
      const original = JSON.parse(figure.querySelector(".spec").textContent);
      let most = panels(original.vconcat?.[0] ?? original).length;
      let [number, room] = places(panels(original), width, most);
      const target = document.createElement("div");
      target.setAttribute("aria-hidden", "true"); // the figure has a text of its own
      const tooltip = { theme: isDark ? "dark" : "light" };
      const options = { renderer: "svg", actions: false, ast: true, tooltip };
      let view = null;
      // What is beside the panels (labels, legends) has a width when it is drawn.
      for (let attempt = 0; attempt < 6; attempt++) {
        view?.finalize();
        const spec = arranged(original, width, number, room, isDark);
        ({ view } = await vegaEmbed(target, spec, options));
        if (drawn.get(figure).turn !== turn) return view.finalize(); // overtaken
        const over = target.querySelector("svg").getAttribute("width") - width;
        if (over <= 0) break;
        room -= over / number + 3;
        if (number > 1 && room < 0.8 * SMALLEST) {
          most = number - 1;
          [number, room] = places(panels(original), width, most);
        }
      }
      before?.view?.finalize();
      box.setAttribute("role", "img");
      box.classList.remove("broken");
      box.replaceChildren(target);
      figure.style.minHeight = "";
      drawn.set(figure, { turn, width, isDark, view });
      equip(figure, view);
    } catch (error) {
      box.removeAttribute("role");
      box.classList.add("broken");
      figure.querySelector(".save").hidden = true; // of a chart that is no more
      box.textContent = `This chart could not be drawn: ${error.message}`;
      console.error(error);
    }
  }

  function equip(figure, view) {
    const tools = figure.querySelector(".tools");
    const list = tools.querySelector(".pick");
    tools.hidden = false;
    figure.querySelector(".save").hidden = false;
    if (!list) return;
    const signals = view.getState({ signals: (name) => /^picked_.+_legend$/.test(name) });
    const [signal] = Object.keys(signals.signals);
    list.parentElement.hidden = !signal;
    if (!signal) return;
    list.onchange = () => view.signal(signal, JSON.parse(list.value)).runAsync();
    if (list.value !== "null") list.onchange();
    view.addSignalListener("picked", (_, value) => {
      const values = Object.entries(value).find(([name]) => name !== "vlPoint")?.[1] ?? [];
      // By what an option means: JSON has several ways to write it.
      const options = [...list.options].map((option) => JSON.parse(option.value));
      list.selectedIndex = values.length === 1 ? Math.max(0, options.indexOf(values[0])) : 0;
    });
  }

  for (const figure of figures) {
    figure.querySelector(".reset").addEventListener("click", () => {
      const list = figure.querySelector(".pick");
      if (list) list.value = "null";
      draw(figure);
    });
    figure.querySelector(".save").addEventListener("click", async () => {
      const svg = await drawn.get(figure).view.toSVG();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
      link.download = `${figure.id}.svg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  // Vega tells the values of a mark to a pointer that moves, which a tap is not; they
  // are told until the next touch.
  let tapped = null; // null, too, if it was no finger
  addEventListener("pointerdown", ({ pointerType, target }) => {
    tapped?.dispatchEvent(new PointerEvent("pointerout", { bubbles: true }));
    tapped = pointerType === "touch" && target.closest(".chart") ? target : null;
  });
  addEventListener("click", ({ clientX, clientY }) => {
    const at = { bubbles: true, clientX, clientY };
    tapped?.dispatchEvent(new PointerEvent("pointermove", at));
  });

  // Those that are near what is seen; the others wait until they are.
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting && !drawn.has(target)) draw(target);
    },
    { rootMargin: "800px 0px" },
  );

  function again() {
    for (const [figure, { width, isDark }] of drawn) {
      const now = figure.querySelector(".chart").clientWidth;
      if (now && (now !== width || isDark !== darkness.matches)) draw(figure);
    }
  }

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(again, 150);
  });
  darkness.addEventListener("change", again);
  // Paper is white, and has no place to scroll to.
  addEventListener("beforeprint", () => {
    for (const figure of figures)
      if (drawn.get(figure)?.isDark !== false) draw(figure, false);
  });
  addEventListener("afterprint", again);

  for (const figure of figures) near.observe(figure);
})();
