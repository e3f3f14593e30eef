// What pages do with scripts: draw figures, follow a search, take dropped files, take a key out of the address.
"use strict";

function draw(root) {
  if (!window.Plotly) return;
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  for (const place of root.querySelectorAll(".figure")) {
    const figure = JSON.parse(place.dataset.figure);
    const axis = (given) => ({automargin: true, zeroline: false, ...given, gridcolor: line, linecolor: line});
    const layout = {margin: {l: 60, r: 10, t: 10, b: 50}, legend: {orientation: "h"}, ...figure.layout,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {...figure.layout.font, color: ink}};
    layout.xaxis = axis(layout.xaxis);
    layout.yaxis = axis(layout.yaxis);
    if (place.clientWidth < 480) {  // a phone: names of dials lie on their bars, not beside them
      layout.font.size = 11;
      for (const bars of figure.data.filter((each) => each.orientation === "h")) {
        Object.assign(bars, {text: bars.y, textposition: "auto", insidetextanchor: "start", constraintext: "none"});
        layout.yaxis.showticklabels = false;
        layout.margin = {...layout.margin, l: 12};
      }
    }
    place.querySelector(":scope > p")?.remove();
    window.Plotly.react(place, figure.data, layout, {responsive: true, displayModeBar: false});
  }
}

function follow(live) {
  let source, waiting = false;
  const news = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      window.htmx.trigger(live, "news");
    }, 1000);
  };
  // A browser connects again by itself where a connection is lost, but gives up where a proxy answers for us.
  const connect = () => {
    source = new EventSource(live.dataset.watch);
    source.addEventListener("decision", news);
    source.addEventListener("state", news);
    source.addEventListener("end", () => source.close());
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 10000);
    });
  };
  connect();
  window.addEventListener("pagehide", () => source.close());
}

// What somebody has opened, marked, typed, scrolled to or reached by the keyboard stays so when what is around it changes.
const KEPT = "a, button, input, summary, [tabindex]";
const named = (part) =>
  [part.tagName, part.getAttribute("href") || part.getAttribute("aria-label") || part.name || part.textContent].join();

function remembered(live) {
  const known = new Map();
  for (const part of live.querySelectorAll(KEPT)) {
    if (known.get(named(part))?.held) continue;  // of two with one name, that which is held
    known.set(named(part), {held: part === document.activeElement, open: part.parentElement.open, marked: part.checked,
      typed: part.value === part.defaultValue ? undefined : part.value, left: part.scrollLeft, top: part.scrollTop});
  }
  return () => {
    for (const part of live.querySelectorAll(KEPT)) {
      const before = known.get(named(part));
      if (!before) continue;
      if (part.tagName === "SUMMARY") part.parentElement.open = before.open;
      if (part.type === "checkbox") part.checked = before.marked;
      if (part.type === "text" && before.typed !== undefined) part.value = before.typed;
      part.scrollTo(before.left, before.top);
      if (before.held) part.focus({preventScroll: true});
    }
  };
}

function takeDropped(zone) {
  const input = zone.querySelector("input"), told = zone.querySelector(".told"), most = Number(zone.dataset.most);
  const size = (bytes) => `${Math.ceil(bytes / 1048576)} MiB`;
  told.textContent = "or drop it here";
  zone.addEventListener("dragover", () => zone.classList.add("over"));
  for (const end of ["dragleave", "drop"]) zone.addEventListener(end, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    if (event.dataTransfer.items[0]?.webkitGetAsEntry?.()?.isDirectory) {
      told.textContent = "That is a folder: pack it as a .zip file, and drop that.";
    } else if (event.dataTransfer.files.length) {
      const first = new DataTransfer();
      first.items.add(event.dataTransfer.files[0]);
      input.files = first.files;
      input.dispatchEvent(new Event("change", {bubbles: true}));
    }
  });
  input.addEventListener("change", () => {
    const file = input.files[0];
    const wrong = file && file.size > most ? `${file.name} has ${size(file.size)}; at most ${size(most)} can be sent.` : "";
    input.setCustomValidity(wrong);
    told.textContent = wrong || (file ? `${file.name} is chosen.` : "or drop it here");
  });
}

document.addEventListener("DOMContentLoaded", () => {
  draw(document);
  for (const zone of document.querySelectorAll(".drop")) takeDropped(zone);
  // A file that misses its frame would otherwise be shown in place of the page.
  const keep = (event) => { if (event.dataTransfer.types.includes("Files")) event.preventDefault(); };
  for (const name of ["dragover", "drop"]) document.addEventListener(name, keep);
  const live = document.getElementById("live");
  if (live && window.htmx && ["queued", "running"].includes(live.dataset.state)) follow(live);
  let restore = () => {};
  document.body.addEventListener("htmx:beforeSwap", () => { restore = remembered(live); });
  document.body.addEventListener("htmx:afterSwap", () => {
    draw(document);
    restore();
  });
  const login = document.getElementById("login");
  if (login && location.hash.length > 20) {
    login.elements.token.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    login.submit();
  }
});
