// The table of connections: sorted by a column, filtered by words that must all be there.

function sortable(table) {
  const body = table.tBodies[0];
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = element('button', head.textContent);
    button.type = 'button';
    head.replaceChildren(button);
    if (head.dataset.kind === 'number') head.classList.add('number');
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      const way = down ? -1 : 1;
      const key = keyOf(column, head.dataset.kind);
      const keyed = Array.from(body.rows, (row, at) => [key(row), at, row]);
      keyed.sort((a, b) => way * (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) || a[1] - b[1]);
      body.append(...keyed.map((one) => one[2]));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    });
  });
}

function keyOf(column, kind) {
  return (row) => {
    const cell = row.cells[column];
    return kind ? Number(cell.dataset.value || cell.textContent) : cell.textContent;
  };
}

function filterable(table, input, matches) {
  const rows = Array.from(table.tBodies[0].rows, (row) => [row, row.textContent.toLowerCase()]);
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      const fits = words.every((word) => text.includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      shown += fits;
    }
    matches.textContent = words.length ? shown + ' of ' + rows.length : rows.length + ' in all';
  }
  input.hidden = false;
  input.addEventListener('input', filter);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { input.value = ''; filter(); }
  });
  for (const button of all('[data-filter]')) {
    button.addEventListener('click', () => { input.value = button.dataset.filter; filter(); input.focus(); });
  }
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.activeElement === input) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  filter();
}

// Up and down go from row to row; Enter and a click open one.
function openable(table, open) {
  const body = table.tBodies[0];
  for (const row of body.rows) if ($('a', row)) row.dataset.open = '';
  body.addEventListener('click', (event) => {
    const row = event.target.closest('tr[data-open]');
    if (row && !event.target.closest('a')) open(row.dataset.id);
  });
  body.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = all('tr[data-open]:not([hidden]) a', body);
    const next = links[links.indexOf(document.activeElement) + step];
    if (next) next.focus();
    event.preventDefault();
  });
}
