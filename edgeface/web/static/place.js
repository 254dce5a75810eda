"use strict";
const SVG = "http://www.w3.org/2000/svg";
const charts = {
  height: { title: "Face height, px", limit: "≥", open: (edge) => `${edge}+` },
  yaw: { title: "Turned aside (|yaw|), °", limit: "≤", open: (edge) => `${edge}+` },
  quality: { title: "Quality", limit: "≥", open: (edge) => edge },
};
const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function draw(name, values, all) {
  const { title, limit, open } = charts[name], width = 300, height = 120, foot = 16;
  const svg = document.createElementNS(SVG, "svg"), most = Math.max(1, ...values.counts), step = width / values.edges.length;
  svg.setAttribute("viewBox", `0 0 ${width} ${height + foot}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: ` + values.edges.map((edge, i) => `from ${edge}: ${values.counts[i]}`).join(", "));
  const add = (kind, attributes, text) => {
    const part = document.createElementNS(SVG, kind);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    if (text !== undefined) part.textContent = text;
    svg.append(part);
  };
  values.edges.forEach((edge, i) => {
    const tall = (values.counts[i] / most) * (height - 14), last = i === values.edges.length - 1;
    add("rect", { x: i * step + 1, y: height - tall, width: step - 2, height: tall, class: "bar" });
    if (values.counts[i]) add("text", { x: (i + 0.5) * step, y: height - tall - 3, class: "count" }, percent(values.counts[i] / all).replace(" ", ""));
    add("text", { x: i * step + 1, y: height + 12, class: "edge" }, last ? open(edge) : edge);
  });
  add("line", { x1: 0, x2: width, y1: height, y2: height, class: "axis" });
  const limits = Object.entries(values.limits).filter(([, value]) => value !== null).map(([preset, value]) => `${preset} ${limit} ${value}`);
  byId(name).replaceChildren(
    make("figcaption", `${title}${values.median === null ? "" : `, median ${name === "quality" ? values.median.toFixed(2) : Math.round(values.median)}`}`),
    svg, make("p", limits.join(" · "), "limits"),
  );
}

function preset(entry) {
  const line = make("div", undefined, "preset"), head = make("p"), bar = document.createElementNS(SVG, "svg");
  head.append(make("strong", entry.name), make("span", percent(entry.share)));
  bar.setAttribute("viewBox", "0 0 100 4");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  for (const [kind, width] of [["rest", 100], ["part", 100 * (entry.share ?? 0)]]) {
    const part = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ width, height: 4, class: kind })) part.setAttribute(key, value);
    bar.append(part);
  }
  const why = make("ul");
  why.append(...entry.reasons.slice(0, 3).map((reason) => make("li", reason.words)));
  line.append(head, bar, why);
  return line;
}

function show(summary) {
  byId("presets").replaceChildren(...summary.presets.map(preset));
  const { now, mean, most } = summary.faces;
  const numbers = {
    "faces now": now, "on average": mean.toFixed(1), "at most": most, tracks: summary.people,
    "seconds seen": Math.round(summary.seconds), "faces counted": summary.samples,
  };
  byId("numbers").replaceChildren(...Object.entries(numbers).flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  for (const name of Object.keys(charts)) draw(name, summary[name], Math.max(1, summary.samples));
}

let seen = false;  // whether a frame has come
function ask() {
  fetch("place.json").then((answer) => answer.json()).then((summary) => {
    seen = summary.seconds > 0 || summary.faces.now > 0 || seen;
    if (seen) state("live", "live");
    show(summary);
    look(() => seen);
  }).catch(() => state("connection lost, trying again …", "lost"));
}
ask();
setInterval(ask, 1000);
