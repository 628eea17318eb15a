// The ladder larger and smaller: by its buttons, and by + - 0 where it has the focus.

const STEPS = [0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3];

function zoomable(section) {
  const tools = $('.buttons', section);
  const pane = $('.pane', section);
  if (!tools || !pane) return;
  let at = -1; // as wide as the page
  function zoom(way) {
    const drawings = all('svg.ladder', pane);
    const shown = drawings.find((drawing) => drawing.getClientRects().length);
    if (way === 'fit') at = -1;
    else {
      const now = shown.getBoundingClientRect().width / shown.viewBox.baseVal.width;
      const larger = STEPS.findIndex((one) => one > now + 0.01);
      const smaller = STEPS.findLastIndex((one) => one < now - 0.01);
      at = way === 'in' ? (larger < 0 ? STEPS.length - 1 : larger) : Math.max(0, smaller);
    }
    pane.classList.toggle('zoomed', at >= 0);
    for (const drawing of drawings) {
      drawing.style.width = at < 0 ? '' : drawing.viewBox.baseVal.width * STEPS[at] + 'px';
      drawing.style.height = at < 0 ? '' : 'auto';
    }
  }
  tools.hidden = false;
  tools.addEventListener('click', (event) => {
    if (event.target.dataset.zoom) zoom(event.target.dataset.zoom);
  });
  pane.addEventListener('keydown', (event) => {
    const way = { '+': 'in', '=': 'in', '-': 'out', 0: 'fit' }[event.key];
    if (way && !event.ctrlKey && !event.metaKey) { event.preventDefault(); zoom(way); }
  });
}
