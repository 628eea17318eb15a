document.documentElement.classList.add('js');
const table = $('#connections');
if (table) {
  sortable(table);
  filterable(table, $('#filter'), $('#matches'));
  openable(table, (id) => { location.hash = '#connection-' + id; });
}
for (const section of all('.connection')) {
  inspectable(section);
  zoomable(section);
}
all('.copy').forEach(copyable);
all('[data-save]').forEach(savable);
$('.close', inspector).addEventListener('click', release);
for (const button of all('.step', inspector)) {
  button.addEventListener('click', () => { if (held) step(held[0], Number(button.dataset.step)); });
}
document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !inspector.hidden) release(); });
addEventListener('hashchange', follow);
follow();
