// Segments of a ladder: a pointer shows one, a click or the focus holds it, keys move from one to the next.

let held = null; // [section, frame]
const drawings = new Map(); // of each section: its drawings, and each one's segments by frame

function drawingsOf(section) {
  if (!drawings.has(section)) {
    drawings.set(section, all('svg.ladder', section).map((drawing) => [
      drawing, new Map(all('.segment', drawing).map((segment) => [segment.dataset.frame, segment])),
    ]));
  }
  return drawings.get(section);
}

function segmentsOf(section) {
  const [, segments] = drawingsOf(section).find(([drawing]) => drawing.getClientRects().length) || [null, new Map()];
  return segments;
}

function mark(chosen) {
  if (!held) return;
  for (const [, segments] of drawingsOf(held[0])) {
    const segment = segments.get(held[1]);
    if (segment) segment.classList.toggle('chosen', chosen);
  }
}

function hold(section, frame) {
  mark(false);
  held = [section, frame];
  mark(true);
  inspect(section, frame);
}

function release() {
  mark(false);
  held = null;
  inspector.hidden = true;
}

function go(section, frame) {
  const segment = segmentsOf(section).get(frame);
  if (!segment) return;
  segment.focus({ preventScroll: true });
  segment.scrollIntoView({ block: 'center', inline: 'nearest' });
}

function step(section, by) {
  const segments = segmentsOf(section);
  const frames = Array.from(segments.keys());
  const at = held && held[0] === section ? frames.indexOf(held[1]) : -1;
  const next = segments.get(frames[Math.max(0, Math.min(frames.length - 1, at + by))]);
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
}

function inspectable(section) {
  const pane = $('.pane', section);
  if (!pane) return;
  const entry = new Map(); // of each drawing: the segment that the Tab key comes to
  for (const drawing of all('svg.ladder', pane)) {
    const first = $('.segment', drawing);
    if (first) first.setAttribute('tabindex', '0');
    entry.set(drawing, first);
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
    entry.get(segment.ownerSVGElement).setAttribute('tabindex', '-1');
    entry.set(segment.ownerSVGElement, segment);
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
