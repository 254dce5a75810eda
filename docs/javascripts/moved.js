// A link from before the reference was split, such as api/#edgeface.engine.FaceEngine.detect, goes on to the page that has it.
for (let name = location.hash.slice(1); name; name = name.slice(0, Math.max(name.lastIndexOf("."), 0))) {
  const elsewhere = (a) => a.hash === "#" + name && a.pathname !== location.pathname;
  const link = [...document.querySelectorAll("article a")].find(elsewhere);
  if (link) {
    location.replace(link.pathname + location.hash);
    break;
  }
}
