"use strict";
// What both pages need: the state of the source, large over the picture while there is none, and a picture that comes back.
const byId = (id) => document.getElementById(id);

function state(text, kind) {
  byId("state").textContent = text;
  byId("state").className = kind;
  const lost = kind === "lost";
  byId("banner").hidden = !lost;
  byId("banner").textContent = lost ? text : "";
  byId("picture").classList.toggle("stale", lost);
}

const states = {
  connecting: ["opening the source …", ""], running: ["waiting for the first frame …", ""],
  lost: ["camera lost, retrying …", "lost"], ended: ["the source has ended", "lost"], closed: ["the source is closed", "lost"],
};

// Events come with frames: while there are none, only the status knows why. `seen` says whether there has been one.
function look(seen) {
  fetch("status.json").then((answer) => answer.json()).then((status) => {
    if (status.state === "running" && status.last_frame_s > 3) state(`no frame for ${status.last_frame_s.toFixed(0)} s`, "lost");
    else if (status.state in states && !(seen() && status.state === "running")) state(...states[status.state]);
  }).catch(() => {});  // whoever waits for news says so
}

// the picture has no way of its own to come back
byId("picture").onerror = () => setTimeout(() => { byId("picture").src = `stream.mjpg?${Date.now()}`; }, 2000);
