// Elements are made of names and texts: nothing that is data is ever read as markup.

function $(selector, within) { return (within || document).querySelector(selector); }
function all(selector, within) { return Array.from((within || document).querySelectorAll(selector)); }

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
