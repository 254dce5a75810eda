"use strict";
const degrees = (value) => { const whole = Math.round(value) || 0; return `${whole > 0 ? "+" : ""}${whole}°`; };

const by = (width, height, turned) => (turned ? `${height}×${width}` : `${width}×${height}`);

function row(face, turned) {
  const [x1, y1, x2, y2] = face.box;
  const gate = face.reasons === undefined ? "" : face.reasons.length ? face.reasons.join(", ").replaceAll("_", " ") : "good";
  const values = [
    face.track_id ?? "", gate, face.score.toFixed(2), degrees(face.yaw), degrees(face.pitch), degrees(face.roll),
    face.quality.toFixed(2), by(Math.round(x2 - x1), Math.round(y2 - y1), turned),
  ];
  const line = document.createElement("tr");
  for (const value of values) {
    const cell = document.createElement("td");
    cell.textContent = value;
    line.append(cell);
  }
  if (gate) line.children[1].className = gate === "good" ? "good" : "bad";
  return line;
}

function show(record) {
  const turned = (record.rotation ?? 0) % 180 !== 0;  // the record is of the frame as given, the page shows it upright
  byId("count").textContent = record.faces.length;
  byId("faces").replaceChildren(...record.faces.map((face) => row(face, turned)));
  const numbers = { picture: by(record.width, record.height, turned), frame: record.sequence ?? "", ...record.stream };
  byId("numbers").replaceChildren(...Object.entries(numbers).flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name.replaceAll("_", " ");
    text.textContent = typeof value === "number" && !Number.isInteger(value) ? value.toFixed(1) : value ?? "–";
    return [term, text];
  }));
}

let seen = false;  // whether an event has come
const events = new EventSource("events");
events.onmessage = (event) => { seen = true; state("live", "live"); show(JSON.parse(event.data)); };
events.onerror = () => state("connection lost, trying again …", "lost");

// What there is already, without waiting for the first event.
fetch("faces.json").then((answer) => answer.json()).then((record) => { if (!seen && record.faces) show(record); }).catch(() => {});

look(() => seen);
setInterval(() => look(() => seen), 2000);
