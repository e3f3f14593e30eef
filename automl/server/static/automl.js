// What pages do with scripts: draw figures, follow a search, take a key out of the address.
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
      if (!live.querySelector("input:focus, details[open] form, input:checked")) window.htmx.trigger(live, "news");
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

document.addEventListener("DOMContentLoaded", () => {
  draw(document);
  const live = document.getElementById("live");
  if (live && window.htmx && ["queued", "running"].includes(live.dataset.state)) follow(live);
  document.body.addEventListener("htmx:afterSwap", () => draw(document));
  const login = document.getElementById("login");
  if (login && location.hash.length > 20) {
    login.elements.token.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    login.submit();
  }
});
