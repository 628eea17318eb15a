// Segments of a ladder: a pointer shows one, a click or the focus holds it, keys move from one to the next.

let held = null; // [section, frame]

function segmentsOf(section) {
  return all('.segment', all('svg.ladder', section).find((drawing) => drawing.getClientRects().length));
}

function segmentAt(section, frame) {
  return segmentsOf(section).find((segment) => segment.dataset.frame === String(frame));
}

function hold(section, frame) {
  for (const segment of all('.segment.chosen')) segment.classList.remove('chosen');
  held = [section, String(frame)];
  for (const segment of all('.segment[data-frame="' + Number(frame) + '"]', section)) segment.classList.add('chosen');
  inspect(section, frame);
}

function release() {
  for (const segment of all('.segment.chosen')) segment.classList.remove('chosen');
  held = null;
  inspector.hidden = true;
}

function go(section, frame) {
  const segment = segmentAt(section, frame);
  if (!segment) return;
  segment.focus({ preventScroll: true });
  segment.scrollIntoView({ block: 'center', inline: 'nearest' });
}

function step(section, by) {
  const segments = segmentsOf(section);
  const at = held && held[0] === section ? segments.findIndex((one) => one.dataset.frame === held[1]) : -1;
  const next = segments[Math.max(0, Math.min(segments.length - 1, at + by))];
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
}

function inspectable(section) {
  const pane = $('.pane', section);
  if (!pane) return;
  for (const drawing of all('svg.ladder', pane)) {
    const first = $('.segment', drawing);
    if (first) first.setAttribute('tabindex', '0');
  }
  const over = (event) => event.target.closest && event.target.closest('.segment');
  let place = '';
  pane.addEventListener('pointerover', (event) => {
    const moved = place !== (place = event.clientX + ' ' + event.clientY); // else the page moved under it
    const segment = moved && event.pointerType !== 'touch' && over(event);
    if (segment) inspect(section, segment.dataset.frame);
  });
  pane.addEventListener('pointerleave', () => {
    if (held) inspect(held[0], held[1]);
    else inspector.hidden = true;
  });
  pane.addEventListener('click', (event) => {
    const segment = over(event);
    if (segment) segment.focus({ preventScroll: true });
  });
  pane.addEventListener('focusin', (event) => {
    const segment = over(event);
    if (!segment) return;
    for (const other of all('.segment[tabindex="0"]', segment.ownerSVGElement)) other.setAttribute('tabindex', '-1');
    segment.setAttribute('tabindex', '0');
    hold(section, segment.dataset.frame);
  });
  pane.addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (!by || !over(event)) return;
    event.preventDefault();
    step(section, by);
  });
  for (const link of all('.to-frame', section)) {
    link.addEventListener('click', (event) => { event.preventDefault(); go(section, link.dataset.frame); });
  }
}
